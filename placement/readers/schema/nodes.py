"""Schema of nodes, links and the client in cluster.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from placement.errors import shown
from placement.files.entries import MAX_COUNT, Bool, Count, Entry, Name, PositiveInt
from placement.quantities import whole_number
from placement.question.request import PARTS

from .. import units
from .fields import (
    Bandwidth,
    Compute,
    Fraction,
    Latency,
    MemoryBandwidth,
    Power,
    Price,
    SecondsPerBlock,
    Size,
    SizeOrZero,
    fraction,
)


class LinkEntry(Entry):
    """How fast a link is: bandwidth and one-way latency, or a link type of the catalog."""

    bandwidth: Bandwidth | None = Field(default=None, description="bytes or bits per second in one direction")
    latency: Latency | None = Field(default=None, description="one way")
    link: Name | None = Field(default=None, description="a name from `placement catalog links`")

    @model_validator(mode="after")
    def _complete(self) -> LinkEntry:
        if self.link is None:
            for key in ("bandwidth", "latency"):
                if getattr(self, key) is None:
                    raise ValueError(f"'{key}' is missing: give bandwidth and latency, or link: a catalog name")
        return self


def _as_link(value: object) -> object:
    """Read a plain string as the name of a link type."""
    return {"link": value} if isinstance(value, str) else value


Link: Any = Annotated[LinkEntry, BeforeValidator(_as_link, json_schema_input_type=LinkEntry | str)]


class Between(LinkEntry):
    """The link between two regions."""

    regions: list[Name] = Field(min_length=2, max_length=2)
    one_way: Bool = Field(default=False, description="from the first to the second only")


class Pair(LinkEntry):
    """The link between two nodes, all members of an entry with `count`, or the client."""

    nodes: list[Name] = Field(min_length=2, max_length=2)
    one_way: Bool = Field(default=False, description="from the first to the second only")


class Network(Entry):
    """Links; the most specific one wins: links, then a node's interconnect, then between and within, then default."""

    within: dict[Name, Link] = Field(default={}, description="by region: the link between its nodes")
    between: list[Between] = Field(default=[], description="links between regions")
    links: list[Pair] = Field(default=[], description="links between single nodes")
    default: Link | None = Field(default=None, description="between everything that no other line covers")


class ClientLink(LinkEntry):
    """The client's own link to one node."""

    node: Name


class Client(Entry):
    """Where the prompts come from."""

    region: Name | None = Field(default=None, description="by default the region of the first node")
    links: list[ClientLink] = Field(default=[], description="own links of the client")


class Efficiency(Entry):
    """Sustained over peak."""

    compute: Fraction | None = None
    bandwidth: Fraction | None = None


def _as_efficiency(value: object) -> object:
    """Read one number as both efficiencies."""
    if value is None or isinstance(value, dict):
        return value
    return {"compute": fraction(value), "bandwidth": value}  # checked here, so that a mistake is told once


def _as_compute(value: object) -> object:
    """Read one rate as the rate for every number format."""
    if value is None or isinstance(value, dict):
        return value
    units.compute(value)  # checked here, so that a mistake is told of `compute` and not of `compute.any`
    return {"any": value}


def _as_table(value: object) -> object:
    """Check the micro-batch sizes of a decode table; in JSON they are texts."""
    if not isinstance(value, dict):
        return value
    table: dict[int, object] = {}
    for key, item in value.items():
        size = whole_number(key) if isinstance(key, str) else key
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 1_000_000:
            raise ValueError(f"expected micro-batch sizes of at least 1 as keys, got {shown(key)}")
        table[size] = item
    if not table:
        raise ValueError("expected at least one micro-batch size, got none")
    return table


def _as_degree(value: object) -> object:
    """Read "auto" as 0; anything else is a count, and says so."""
    if value == "auto":
        return 0
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT):
        raise ValueError(f"expected auto, or a whole number of at least 1, got {shown(value)}")
    return value


def _as_parts(value: object) -> object:
    """Read one part, several, auto or none as a list of parts."""
    if value == "auto":
        return PARTS
    if value == "none":
        return ()
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(part in PARTS for part in given):
        raise ValueError(f"expected auto, none, or parts of blocks ({', '.join(PARTS)}), got {shown(value)}")
    return tuple(dict.fromkeys(given))


Parts: Any = Annotated[tuple[str, ...], BeforeValidator(_as_parts, json_schema_input_type=str | list[str])]
Degree: Any = Annotated[int, BeforeValidator(_as_degree, json_schema_input_type=int | str)]


class NodeEntry(Entry):
    """One node, or `count` equal ones named `tower-0`, `tower-1`, ..."""

    name: Name
    device: Name | None = Field(
        default=None, description="a name from `placement catalog devices`; keys below override it"
    )
    count: Count | None = Field(default=None, description="how many equal nodes")
    region: Name = "default"
    host: Name | None = Field(
        default=None, description="the machine that it is in: devices of one host may hold blocks together"
    )
    main_memory: Bool | None = Field(
        default=None, description="this node is the CPU of its host with the main memory; default: CPUs of the catalog"
    )
    offload: Parts | None = Field(
        default=None,
        description="parts of blocks that this card may leave in the main memory of its host: "
        "experts, ffn, cache, auto (any of them) or none",
    )
    memory: Size | None = Field(default=None, description="of one device")
    compute: Annotated[
        dict[Name, Compute] | None, BeforeValidator(_as_compute, json_schema_input_type=str | dict[str, str])
    ] = Field(default=None, description="peak rate of one device: one for every number format, or a mapping by format")
    memory_bandwidth: MemoryBandwidth | None = Field(default=None, description="peak, of one device")
    cores: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="of a CPU, those that compute: with many of them, waiting for each other counts"
    )
    overhead: Latency | None = Field(default=None, description="launch overhead per block and pass")
    pass_overhead: Latency | None = Field(
        default=None, description="what a pass takes once, however many blocks the node holds: waking up, masks"
    )
    price: Price | None = Field(default=None, description="rent of one device")
    power: Power | None = Field(default=None, description="of one device while busy")
    reserve: SizeOrZero | None = Field(default=None, description="memory of one device that is not available")
    efficiency: Annotated[
        Efficiency | None, BeforeValidator(_as_efficiency, json_schema_input_type=float | Efficiency)
    ] = Field(default=None, description="sustained over peak: one number, or {compute, bandwidth}")
    tensor_parallel: Degree | None = Field(
        default=None,
        description="devices that act as one node; auto: groups are formed from the devices of a host; 1: never",
    )
    interconnect: Link | None = Field(default=None, description="between the devices of this entry")
    topology: Literal["ring", "tree", "host"] = Field(
        default="ring",
        description="how devices of a group sum: in a ring, in two trees, or by main memory (no peer-to-peer copies)",
    )
    decode_seconds_per_block: SecondsPerBlock | None = Field(
        default=None,
        description="measured, for one micro-batch of `decode_batch` sequences: one number or one per block",
    )
    prefill_seconds_per_block: SecondsPerBlock | None = Field(
        default=None, description="measured, for one prompt of the workload: one number or one per block"
    )
    decode_batch: PositiveInt = 1
    decode_table: Annotated[dict[int, SecondsPerBlock] | None, BeforeValidator(_as_table)] = Field(
        default=None, description="measured decode seconds per block by micro-batch size"
    )
    availability: Fraction = Field(default=1.0, description="probability that the node is up")

    @property
    def together(self) -> int:
        """Devices of one node."""
        return self.tensor_parallel or 1

    @model_validator(mode="after")
    def _complete(self) -> NodeEntry:
        if (self.count or 1) * self.together > MAX_COUNT:
            raise ValueError(f"count times tensor_parallel is above {MAX_COUNT}")
        if self.device is not None:
            return self
        measured = self.decode_seconds_per_block is not None or self.decode_table is not None
        if self.memory is None:
            raise ValueError(f"the key 'memory' (or 'device') is missing for node '{self.name}'")
        for key in ("compute", "memory_bandwidth"):
            if getattr(self, key) is None and not measured:
                raise ValueError(
                    f"the key '{key}' is missing for node '{self.name}': give device, or compute and memory_bandwidth, "
                    "or decode_seconds_per_block"
                )
        return self
