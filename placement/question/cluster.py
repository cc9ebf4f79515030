"""Where blocks can go: nodes, links, and the client that sends the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import InputError, nearest

FloatArray = npt.NDArray[np.float64]
CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Node:
    """One accelerator or CPU with its own memory (or several in tensor parallel that act as one).

    Attributes
    ----------
    name : str
    memory_bytes : float
        Memory of the node, all its devices together.
    region : str
    device, device_class : str
        Catalog name, or empty; the class that unlike devices of a group have in common, or empty.
    compute_flops_per_s : mapping of str to float
        Peak FLOP/s by number format ("bfloat16", "fp8", "int8", "float32"); the key "any" serves every format.
    memory_bandwidth_bytes_per_s : float
        Peak bandwidth of the memory; 0 when unknown (then measured times are needed).
    compute_efficiency, bandwidth_efficiency : float
        Sustained over peak, in (0, 1].
    cores : float
        Of a CPU, all its devices together; 0 when unknown.
    overhead_s : float
        Seconds of launch overhead per block and pass.
    pass_overhead_s : float
        Seconds that a pass takes once, whatever the number of blocks: waking up, positions, masks.
    reserve_bytes : float
        Memory that is not available for weights, caches and workspace.
    price_per_hour : float
        Rent in $/h.
    power_w : float
        Power in W while busy.
    availability : float
        Probability that the node is up, in (0, 1].
    host : str
        The machine that it is in; empty where it is not known. Nodes of one host share a bus and a main memory.
    joins : bool
        It may hold blocks together with others of its host, as a tensor parallel group.
    main_memory : bool
        It is the CPU of its host with the main memory.
    copied : bool
        It is main memory whose blocks a card computes: all their weights are copied in every pass, used or not.
    offload : tuple of str
        Parts of blocks that a card may leave in the main memory of its host: "experts", "ffn", "cache".
    members : tuple of str
        Of a group that was formed: the nodes that it is made of.
    shares : tuple of float
        Of such a group: the part of every matrix that each member holds; empty: equal ones.
    tensor_parallel : int
        Devices that act as one node; bandwidth, compute and memory above are already those of all of them.
    all_reduce_latency_s, all_reduce_bandwidth_bytes_per_s : float
        The link between those devices.
    topology : str
        How they sum: in a "ring", a "tree", or through the main memory of their "host", without peer-to-peer copies.
    decode_s_per_block, prefill_s_per_block : tuple of float
        Measured seconds, one for all blocks or one per block; empty: none. Decode is for a micro-batch of
        `decode_batch` sequences, prefill for one prompt of the workload.
    decode_batch : int
    decode_table : mapping of int to tuple of float
        Measured decode seconds per block by micro-batch size; wins over `decode_s_per_block`.
    """

    name: str
    memory_bytes: float
    region: str = "default"
    device: str = ""
    device_class: str = ""
    compute_flops_per_s: Mapping[str, float] = field(default_factory=dict)
    memory_bandwidth_bytes_per_s: float = 0.0
    compute_efficiency: float = 1.0
    bandwidth_efficiency: float = 1.0
    cores: float = 0.0
    overhead_s: float = 0.0
    pass_overhead_s: float = 0.0
    reserve_bytes: float = 0.0
    price_per_hour: float = 0.0
    power_w: float = 0.0
    availability: float = 1.0
    host: str = ""
    joins: bool = False
    main_memory: bool = False
    copied: bool = False
    offload: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    tensor_parallel: int = 1
    all_reduce_latency_s: float = 0.0
    all_reduce_bandwidth_bytes_per_s: float = float("inf")
    topology: str = "ring"
    decode_s_per_block: tuple[float, ...] = ()
    prefill_s_per_block: tuple[float, ...] = ()
    decode_batch: int = 1
    decode_table: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    def peak_flops_per_s(self, dtype: str) -> float:
        """Peak FLOP/s for `dtype`; formats that the node lacks run in bfloat16, then float16, then float32."""
        for name in (dtype, "any", "bfloat16", "float16", "float32"):
            if name in self.compute_flops_per_s:
                return float(self.compute_flops_per_s[name])
        return 0.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes and the links between them; the client is the last row and column of the link tables.

    Attributes
    ----------
    nodes : tuple of Node
    latency_s : array (N + 1, N + 1)
        One-way latency in seconds.
    bandwidth_bytes_per_s : array (N + 1, N + 1)
        0 where there is no link; infinite on the diagonal.
    notes : tuple of str
        What had to be assumed.
    """

    nodes: tuple[Node, ...]
    latency_s: FloatArray
    bandwidth_bytes_per_s: FloatArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.nodes:
            raise InputError("expected at least one node, got none", "nodes")
        names = [node.name for node in self.nodes]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"the node name '{twice}' is used twice", "nodes")
        size = len(names) + 1
        for table in (self.latency_s, self.bandwidth_bytes_per_s):
            if table.shape != (size, size):
                raise InputError(f"expected link tables of shape ({size}, {size}), got {table.shape}", "network")
            table.setflags(write=False)

    @property
    def n_nodes(self) -> int:
        """Number of nodes, the client not counted."""
        return len(self.nodes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(node.name for node in self.nodes)

    def index(self, name: str) -> int:
        """Return the index of a node; raise `InputError` with the nearest name when there is none."""
        if name in self.names:
            return self.names.index(name)
        raise InputError(f"there is no node '{name}'{nearest(name, self.names)}")
