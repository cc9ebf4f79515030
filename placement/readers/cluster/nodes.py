"""Node entries of cluster.yaml as nodes: catalog figures filled in, counts expanded, tensor parallel groups joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from placement.catalog import hardware
from placement.errors import InputError, shown
from placement.files.entries import MAX_NODES
from placement.question.cluster import CLIENT, Node
from placement.question.request import PARTS

from ..schema.nodes import LinkEntry, NodeEntry
from .instances import hosts_apart


@dataclass(frozen=True, slots=True)
class LinkSpeed:
    """Bandwidth in bytes/s and one-way latency in s."""

    bandwidth: float
    latency: float


@dataclass(frozen=True, slots=True)
class Group:
    """The nodes that one entry stands for.

    Attributes
    ----------
    name : str
        Name of the entry.
    members : range
        Their indices in the cluster.
    siblings : LinkSpeed or None
        The link between them that the entry states.
    assumed : LinkSpeed or None
        What the catalog says of such devices in one host, for when nothing is stated.
    host : str
        The machine that the entry says they are in; empty where it says none.
    """

    name: str
    members: range
    siblings: LinkSpeed | None
    assumed: LinkSpeed | None
    host: str = ""


def link_speed(entry: LinkEntry, where: str) -> LinkSpeed:
    """Return the speed that an entry states, its own numbers before those of the catalog."""
    if entry.link is None:
        return LinkSpeed(entry.bandwidth or 0.0, entry.latency or 0.0)  # the schema has seen that both are there
    try:
        known = hardware.link(entry.link)
    except InputError as error:
        raise error.under(where) from None
    return LinkSpeed(
        known.bandwidth_bytes_per_s if entry.bandwidth is None else entry.bandwidth,
        known.latency_s if entry.latency is None else entry.latency,
    )


def expand(entries: Sequence[NodeEntry], *, n_blocks: int, notes: list[str]) -> tuple[list[Node], list[Group]]:
    """Return the nodes that the entries stand for, and which nodes belong to which entry.

    Parameters
    ----------
    entries : sequence of NodeEntry
    n_blocks : int
        Lists of measured seconds must have this length.
    notes : list of str
        What had to be assumed is added here.
    """
    hosts = list(hosts_apart(entries, notes))
    total = sum(entry.count or 1 for _, entry in hosts)
    if total > MAX_NODES:
        raise InputError(f"expected at most {MAX_NODES} nodes, got {total}", "nodes")
    nodes: list[Node] = []
    groups: list[Group] = []
    used: dict[str, int] = {}
    for number, entry in hosts:
        where = f"nodes[{number}]"
        names = [entry.name] if entry.count is None else [f"{entry.name}-{i}" for i in range(entry.count)]
        for name in dict.fromkeys((entry.name, *names)):
            if name == CLIENT:
                raise InputError("the name 'client' is taken by the place that sends the prompts", f"{where}.name")
            if name in used:
                raise InputError(f"the node name '{name}' is used twice (nodes[{used[name]}] too)", f"{where}.name")
            used[name] = number
        node = _node(entry, where, n_blocks, notes)
        groups.append(_group(entry, where, range(len(nodes), len(nodes) + len(names))))
        nodes.extend(replace(node, name=name) for name in names)
    return nodes, groups


def _group(entry: NodeEntry, where: str, members: range) -> Group:
    stated = None if entry.interconnect is None else link_speed(entry.interconnect, f"{where}.interconnect")
    assumed = None
    if entry.device is not None:
        assumed = link_speed(LinkEntry(link=hardware.device(entry.device).interconnect), where)
    return Group(entry.name, members, stated, assumed, entry.host or "")


def _node(entry: NodeEntry, where: str, n_blocks: int, notes: list[str]) -> Node:
    base = _device_figures(entry, where, notes)
    many = entry.together
    if base.reserve_bytes >= base.memory_bytes:
        raise InputError(f"expected less than the memory ({base.memory_bytes:g} bytes)", f"{where}.reserve")
    latency, bandwidth = 0.0, math.inf
    if many > 1:
        if entry.count is not None and entry.count > 1:
            total = entry.count * many
            notes.append(f"nodes of '{entry.name}': {entry.count} of {many} devices each, {total} devices in all")
        if entry.interconnect is not None:
            speed = link_speed(entry.interconnect, f"{where}.interconnect")
        elif entry.device is not None:
            kind = hardware.device(entry.device).interconnect
            speed = link_speed(LinkEntry(link=kind), where)
            notes.append(f"node '{entry.name}': its {many} devices are taken to be linked by {kind}")
        else:
            raise InputError(
                "this key is missing: tensor_parallel needs the link between the devices", f"{where}.interconnect"
            )
        latency, bandwidth = speed.latency, speed.bandwidth
    decode = _per_block(entry.decode_seconds_per_block, n_blocks, f"{where}.decode_seconds_per_block")
    table = {
        size: _per_block(seconds, n_blocks, f"{where}.decode_table[{size}]")
        for size, seconds in sorted((entry.decode_table or {}).items())
    }
    prefill = _per_block(entry.prefill_seconds_per_block, n_blocks, f"{where}.prefill_seconds_per_block")
    computed = bool(base.compute_flops_per_s) and base.memory_bandwidth_bytes_per_s > 0
    if not prefill and not computed:
        notes.append(f"node '{entry.name}': no prefill time given; a prompt is taken to cost one decode step per token")
    return replace(
        base,
        memory_bytes=base.memory_bytes * many,
        reserve_bytes=base.reserve_bytes * many,
        compute_flops_per_s={dtype: rate * many for dtype, rate in base.compute_flops_per_s.items()},
        memory_bandwidth_bytes_per_s=base.memory_bandwidth_bytes_per_s * many,
        price_per_hour=base.price_per_hour * many,
        power_w=base.power_w * many,
        cores=base.cores * many,
        host=entry.host or "",
        main_memory=is_main_memory(entry),
        offload=PARTS if entry.offload is None else entry.offload,
        joins=entry.tensor_parallel == 0,
        tensor_parallel=many,
        all_reduce_latency_s=latency,
        all_reduce_bandwidth_bytes_per_s=bandwidth,
        topology=entry.topology,
        decode_s_per_block=decode,
        prefill_s_per_block=prefill,
        decode_batch=entry.decode_batch,
        decode_table=table,
    )


def is_main_memory(entry: NodeEntry) -> bool:
    """Whether an entry is a processor with the main memory of its host."""
    if entry.main_memory is not None or entry.device is None:
        return bool(entry.main_memory)
    return "cpu" in hardware.lineage(hardware.device(entry.device).kind)


def _device_figures(entry: NodeEntry, where: str, notes: list[str]) -> Node:
    """Return one device of the entry: the user's figures, and the catalog's where the user gives none."""
    node = Node(name=entry.name, memory_bytes=entry.memory or 0.0, region=entry.region)
    if entry.device is not None:
        try:
            device = hardware.device(entry.device)
        except InputError as error:
            raise error.under(f"{where}.device") from None
        memory = device.memory_bytes if entry.memory is None else entry.memory
        node = replace(
            node,
            device=device.name,
            memory_bytes=memory,
            compute_flops_per_s=dict(device.compute_flops_per_s),
            memory_bandwidth_bytes_per_s=device.memory_bandwidth_bytes_per_s,
            compute_efficiency=device.compute_efficiency,
            bandwidth_efficiency=device.bandwidth_efficiency,
            overhead_s=device.overhead_s,
            reserve_bytes=device.reserve_bytes * min(1.0, memory / device.memory_bytes),
            price_per_hour=device.price_per_hour,
            power_w=device.power_w,
            cores=device.cores,
        )
    elif entry.compute is not None and entry.efficiency is None:
        notes.append(f"node '{entry.name}': compute and memory_bandwidth are taken as sustained (efficiency 1)")
    efficiency = entry.efficiency
    return replace(
        node,
        availability=entry.availability,
        compute_flops_per_s=node.compute_flops_per_s if entry.compute is None else _formats(entry.compute, where),
        memory_bandwidth_bytes_per_s=_given(entry.memory_bandwidth, node.memory_bandwidth_bytes_per_s),
        compute_efficiency=_given(efficiency.compute if efficiency else None, node.compute_efficiency),
        bandwidth_efficiency=_given(efficiency.bandwidth if efficiency else None, node.bandwidth_efficiency),
        cores=_given(entry.cores, node.cores),
        overhead_s=_given(entry.overhead, node.overhead_s),
        pass_overhead_s=_given(entry.pass_overhead, node.pass_overhead_s),
        reserve_bytes=_given(entry.reserve, node.reserve_bytes),
        price_per_hour=_given(entry.price, node.price_per_hour),
        power_w=_given(entry.power, node.power_w),
    )


_FORMATS = {"bf16": "bfloat16", "fp16": "float16", "f16": "float16", "fp32": "float32", "f32": "float32"}
_KNOWN_FORMATS = ("any", "bfloat16", "float16", "float32", "fp8", "int8")


def _formats(rates: Mapping[str, float], where: str) -> dict[str, float]:
    """Return rates under the names of number formats that blocks are computed in."""
    found: dict[str, float] = {}
    for name, rate in rates.items():
        plain = _FORMATS.get(name.lower(), name.lower())
        if plain not in _KNOWN_FORMATS:
            known = ", ".join(_KNOWN_FORMATS)
            raise InputError(f"expected a number format ({known}), got {shown(name)}", f"{where}.compute")
        found[plain] = rate
    if not found:
        raise InputError("expected at least one number format, got none", f"{where}.compute")
    return found


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _per_block(seconds: tuple[float, ...] | None, n_blocks: int, where: str) -> tuple[float, ...]:
    if seconds is None:
        return ()
    if len(seconds) not in (1, n_blocks):
        raise InputError(f"expected one number, or one for each of the {n_blocks} blocks, got {len(seconds)}", where)
    return seconds
