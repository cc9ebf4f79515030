"""The frozen arrays that every score depends on. Whoever needs a cost reads it here; nobody computes it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from .rounds import Rounds, decode_rounds, served_rounds

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CostTables:
    """Costs of one model on one cluster under one workload; N nodes, L blocks, B micro-batch sizes.

    The client is the last row and column of the link tables. A cut ``b`` is the boundary before block ``b``; cuts 0
    and L are the links from and to the client.

    Attributes
    ----------
    batches : int array (B,)
        Micro-batch sizes in sequences, ascending, the first is 1.
    decode_s : array (B, N, L)
        Seconds of one decode step of a micro-batch in a block on a node.
    prefill_s : array (N, L)
        Seconds of one whole prompt in a block on a node.
    weight_bytes, kv_bytes : array (L,)
        Bytes of weights of a block, and of its cache for one sequence at full context.
    capacity_bytes : array (N,)
        Memory for weights and caches: reserve and workspace are already taken off.
    cut_bytes, prompt_cut_bytes : array (L + 1,)
        Bytes across a cut for one token of one sequence, and for one whole prompt.
    latency_s, bandwidth_bytes_per_s : array (N + 1, N + 1)
        One-way latency in seconds, and bandwidth in bytes/s; bandwidth 0 means no link.
    price_per_hour, power_w : array (N,)
        Rent in $/h of a used node, and W while busy.
    cut_allowed : bool array (L + 1,)
        Where a boundary may lie.
    allowed : bool array (N, L)
        Which node may hold which block (pins and exclusions).
    ties : int array (T, 2)
        Pairs of blocks that must share a node.
    required : bool array (N,)
        Nodes that must hold something.
    max_nodes : int
        How many nodes may be used.
    contiguous : bool
        True: a node holds one run of blocks, and beside it only runs that hold a tied block.
    output_tokens : int
        Tokens generated per request.
    concurrency : int
        Sequences that want to be in flight.
    prompt_overlap : float
        Part of a prompt's seconds in [0, 1) that stages spend at the same time, since chunks of it follow each other
        through them: 0 where a prompt passes whole.
    beside_s : array (B, N) or None
        Seconds per micro-batch that a node is busy beside its own blocks, with parts of blocks that others hold; they
        are in the others' `decode_s` already. None: none.
    served : Rounds or None
        What micro-batches of a stream of requests cost per output token, prompts included. None: what decode steps and
        prompts alone make of it.
    """

    batches: IntArray
    decode_s: FloatArray
    prefill_s: FloatArray
    weight_bytes: FloatArray
    kv_bytes: FloatArray
    capacity_bytes: FloatArray
    cut_bytes: FloatArray
    prompt_cut_bytes: FloatArray
    latency_s: FloatArray
    bandwidth_bytes_per_s: FloatArray
    price_per_hour: FloatArray
    power_w: FloatArray
    cut_allowed: BoolArray
    allowed: BoolArray
    ties: IntArray
    required: BoolArray
    max_nodes: int
    contiguous: bool
    output_tokens: int
    concurrency: int
    prompt_overlap: float = 0.0
    beside_s: FloatArray | None = None
    served: Rounds | None = None

    def __post_init__(self) -> None:
        b, n, m = self.decode_s.shape
        shapes = {
            "batches": (b,),
            "prefill_s": (n, m),
            "weight_bytes": (m,),
            "kv_bytes": (m,),
            "capacity_bytes": (n,),
            "cut_bytes": (m + 1,),
            "prompt_cut_bytes": (m + 1,),
            "latency_s": (n + 1, n + 1),
            "bandwidth_bytes_per_s": (n + 1, n + 1),
            "price_per_hour": (n,),
            "power_w": (n,),
            "cut_allowed": (m + 1,),
            "allowed": (n, m),
            "required": (n,),
            "ties": (len(self.ties), 2),
        }
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"Expected {name} of shape {shape}, got {found}.")
        if self.beside_s is not None and self.beside_s.shape != (b, n):
            raise ValueError(f"Expected beside_s of shape {(b, n)}, got {self.beside_s.shape}.")
        if self.served is not None and self.served.short_s.shape != (b, n, m):
            raise ValueError(f"Expected served seconds of shape {(b, n, m)}, got {self.served.short_s.shape}.")
        for item in fields(self):
            array = getattr(self, item.name)
            if isinstance(array, np.ndarray):
                if array.dtype.kind == "f" and array.size and np.isnan(array.min()):  # a NaN is the least of all
                    raise ValueError(f"Expected numbers in {item.name}, got NaN.")
                array.setflags(write=False)
        for name in (
            "decode_s",
            "prefill_s",
            "weight_bytes",
            "kv_bytes",
            "cut_bytes",
            "prompt_cut_bytes",
            "latency_s",
            "bandwidth_bytes_per_s",
            "price_per_hour",
            "power_w",
        ):
            if getattr(self, name).min() < 0:
                raise ValueError(f"Expected {name} >= 0 everywhere, got {getattr(self, name).min()}.")
        if not 0.0 <= self.prompt_overlap < 1.0:
            raise ValueError(f"Expected prompt_overlap in [0, 1), got {self.prompt_overlap}.")
        if self.batches[0] != 1 or (np.diff(self.batches) <= 0).any():
            raise ValueError(f"Expected ascending micro-batch sizes that start with 1, got {self.batches.tolist()}.")

    @property
    def n_nodes(self) -> int:
        """Number of nodes N."""
        return int(self.prefill_s.shape[0])

    @property
    def n_blocks(self) -> int:
        """Number of blocks L."""
        return int(self.prefill_s.shape[1])

    @property
    def client(self) -> int:
        """Row and column of the client in the link tables."""
        return self.n_nodes

    @property
    def stage_limit(self) -> int:
        """Most stages of a pipeline."""
        if not self.contiguous:
            return self.n_blocks
        return min(self.n_blocks, min(self.n_nodes, self.max_nodes) + 2 * len(self.ties))

    def rounds(self, name: str) -> Rounds:
        """What decides the rate of a name: "throughput", prompts included, or "decode_rate"."""
        if name == "decode_rate":
            return decode_rounds(self.batches, self.decode_s)
        if self.served is not None:
            return self.served
        return served_rounds(self.batches, self.decode_s, self.prefill_s, self.output_tokens)
