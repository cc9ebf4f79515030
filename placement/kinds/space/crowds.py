"""Bounds on holders that are too many to list: kinds of nodes merged, and groups told by what their members can do.

A node whose figures are the best of several takes no longer than any of them, so one may stand for all. Of a group the
members do shares s of every matrix, and with the others waiting for it a member j alone would take T_j: the group takes
T >= s_j T_j for every j. At prices p for a second of the devices its work costs sum(p) T >= sum(p_j s_j T_j), which is
no less than the least p_j T_j. So a member by itself tells what the work of any group costs at least, and a group of
devices that have the best figures of all, with the fastest links, how long a round through it lasts at least.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import fields, replace
from heapq import nlargest, nsmallest
from itertools import chain, combinations, pairwise

from placement.catalog import hardware
from placement.catalog.hardware import common_class, lineage
from placement.costs.memory import keeps_reserve
from placement.costs.runtimes import class_of
from placement.question.alike import MAPPINGS
from placement.question.cluster import Cluster, Node

STATED_S = 1e-12  # an overhead that counts as stated, and is none
MERGED = (
    "memory_bytes",
    "reserve_bytes",
    "memory_bandwidth_bytes_per_s",
    "compute_efficiency",
    "bandwidth_efficiency",
    "overhead_s",
    "pass_overhead_s",
    "all_reduce_latency_s",
    "all_reduce_bandwidth_bytes_per_s",
)
EXACT, GROWTH = 8, 1.4  # numbers of devices up to which each is looked at; then ranges that grow so
MEASURED = ("decode_s_per_block", "prefill_s_per_block")


def of_fewer_kinds(nodes: Sequence[Node], most: int) -> tuple[Node, ...]:
    """Nodes no slower and no smaller than these, of about so many kinds at most where that is possible.

    Those that differ in figures that only make faster or larger are merged, the nearest ones by their bandwidth.
    """
    plain = [replace(node, region="", price_per_hour=0.0, power_w=0.0, availability=1.0) for node in nodes]
    alike: dict[Hashable, list[int]] = {}
    for number, node in enumerate(plain):
        alike.setdefault(_look(node), []).append(number)
    bins = max(1, most // len(alike))
    found = list(plain)
    for numbers in alike.values():
        kinds: dict[Hashable, list[int]] = {}
        for number in numbers:
            kinds.setdefault(_figures(plain[number]), []).append(number)
        ordered = sorted(kinds.values(), key=lambda members: (_speed(plain[members[0]]), members))
        many = min(bins, len(ordered))
        for begin, end in pairwise(round(len(ordered) * k / many) for k in range(many + 1)):
            best = _best([plain[members[0]] for members in ordered[begin:end]])
            for number in chain.from_iterable(ordered[begin:end]):
                node = plain[number]
                found[number] = replace(best, name=node.name, host=node.host, members=node.members, shares=node.shares)
    return tuple(found)


def _look(node: Node) -> Hashable:
    """All of a node that is not merged, and which figures are stated."""
    skipped = {"name", "host", "members", "shares", *MERGED, *MEASURED, *MAPPINGS}
    plain = tuple(getattr(node, field.name) for field in fields(Node) if field.name not in skipped)
    stated = (*_stated(node, node.device), node.pass_overhead_s > 0, keeps_reserve(node))
    lengths = tuple(len(getattr(node, name)) for name in MEASURED)
    tables = tuple((size, len(row)) for size, row in sorted(node.decode_table.items()))
    return plain, stated, class_of(node), tuple(sorted(node.compute_flops_per_s)), lengths, tables


def _stated(node: Node, device: str) -> tuple[bool, bool, bool]:
    """Whether bandwidth, compute and overhead are other ones than those of a device of the catalog, or of none."""
    usual = hardware.device(device) if device else None
    plain = (usual.bandwidth_efficiency, usual.compute_efficiency, usual.overhead_s) if usual else (1.0, 1.0, 0.0)
    own = (node.bandwidth_efficiency, node.compute_efficiency, node.overhead_s)
    return own[0] != plain[0], own[1] != plain[1], own[2] != plain[2]


def _figures(node: Node) -> Hashable:
    """All of a node that is merged."""
    mappings = (tuple(sorted(getattr(node, name).items())) for name in MAPPINGS)
    return tuple(getattr(node, name) for name in (*MERGED, *MEASURED)), *mappings


def _speed(node: Node) -> tuple[float, float]:
    return _reading(node), node.memory_bytes


def _reading(node: Node) -> float:
    return node.memory_bandwidth_bytes_per_s * node.bandwidth_efficiency


def _best(nodes: Sequence[Node]) -> Node:
    """The best figures of nodes that look alike, in the efficiencies of the first."""
    first = nodes[0]
    return replace(
        first,
        memory_bytes=max(node.memory_bytes for node in nodes),
        reserve_bytes=min(node.reserve_bytes for node in nodes),
        memory_bandwidth_bytes_per_s=max(map(_reading, nodes)) / first.bandwidth_efficiency,
        compute_flops_per_s={
            name: max(node.compute_flops_per_s[name] * node.compute_efficiency for node in nodes)
            / first.compute_efficiency
            for name in first.compute_flops_per_s
        },
        overhead_s=min(node.overhead_s for node in nodes),
        pass_overhead_s=min(node.pass_overhead_s for node in nodes),
        all_reduce_latency_s=min(node.all_reduce_latency_s for node in nodes),
        all_reduce_bandwidth_bytes_per_s=max(node.all_reduce_bandwidth_bytes_per_s for node in nodes),
        decode_table={size: _least([node.decode_table[size] for node in nodes]) for size in first.decode_table},
        decode_s_per_block=_least([node.decode_s_per_block for node in nodes]),
        prefill_s_per_block=_least([node.prefill_s_per_block for node in nodes]),
    )


def _least(rows: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """The least of each place of rows that are as long."""
    return tuple(min(values) for values in zip(*rows, strict=True))


def can_stand_for(nodes: Collection[Node]) -> bool:
    """Whether members tell what their groups do: the costs of processors depend on cores, which are not shared out."""
    return all(
        not node.main_memory
        and {"cpu", "edge"}.isdisjoint(lineage(class_of(node)))
        and not set(node.compute_flops_per_s) <= {"float32"}  # without a device, a group of these looks like a CPU
        for node in nodes
    )


def members_alone(cluster: Cluster, pool: Sequence[int], number: int, dtype: str) -> Iterator[Node]:
    """What a member does in groups of a pool, as a node by itself: in groups of its own devices, and in mixed ones.

    Parameters
    ----------
    cluster : Cluster
    pool : sequence of int
        Devices that may join.
    number : int
        The member, one of them.
    dtype : str
        Number format of the model's products.
    """
    nodes, node = [cluster.nodes[k] for k in pool], cluster.nodes[number]
    for lead, device, kind, same in _leads(nodes):
        if device in ("", node.device):
            own = node.overhead_s if same else STATED_S
            overhead = own if device else max(node.overhead_s, STATED_S)
            alone = _as_led([node], nodes, lead, dtype, 1)
            yield replace(alone, device=device, device_class=kind, overhead_s=overhead)


def best_groups(
    cluster: Cluster, pool: Sequence[int], counts: tuple[int, int], fastest: tuple[float, float], dtype: str
) -> Iterator[Node]:
    """Groups of devices: no group of a pool, of so many devices, is faster than all of them.

    Parameters
    ----------
    cluster : Cluster
    pool : sequence of int
    counts : (int, int)
        Least and most devices of the group.
    fastest : (float, float)
        Least latency (s) and most bandwidth (bytes/s) between devices of the pool.
    dtype : str
        Number format of the model's products.
    """
    nodes, (least, most) = [cluster.nodes[k] for k in pool], counts
    topologies = {node.topology for node in nodes}
    for lead, device, kind, same in _leads(nodes):
        inside = [node for node in nodes if device in ("", node.device)]
        if len(inside) >= least:
            lowest = max(min(node.overhead_s for node in inside), STATED_S)
            own = lead.overhead_s if same else STATED_S
            yield replace(
                _as_led(inside, nodes, lead, dtype, most),
                device=device,
                device_class=kind,
                overhead_s=own if device else lowest,
                tensor_parallel=least,
                members=tuple(node.name for node in inside[:least]),  # a group, whose reserves are its runtime's
                topology=next(way for way in ("tree", "ring", "host") if way in topologies),
                all_reduce_latency_s=fastest[0],
                all_reduce_bandwidth_bytes_per_s=fastest[1],
            )


def sizes_of_groups(most: int) -> list[tuple[int, int]]:
    """Ranges of numbers of devices, from two on."""
    found, first = [], 2
    while first <= most:
        last = min(most, max(first, int(first * GROWTH) if first > EXACT else first))
        found.append((first, last))
        first = last + 1
    return found


def _leads(nodes: Sequence[Node]) -> list[tuple[Node, str, str, bool]]:
    """Nodes that lead a group in all ways that matter, its device or class, and whether all of it have one overhead.

    A group has the efficiencies of its first member, where its rates are told by; what matters is only whether somebody
    stated them. Of unlike devices it has no device of the catalog, but a class that two of them have in common.
    """
    found: dict[tuple[str, str, bool, bool], tuple[Node, str, str, bool]] = {}
    kinds = sorted({class_of(node) for node in nodes})
    shared = sorted({"", *kinds, *map(common_class, combinations(kinds, 2))})
    for node in nodes:
        for device, kind in dict.fromkeys(((node.device, ""), *(("", kind) for kind in shared))):
            key = device, kind, *_stated(node, device)[:2]
            same = len({other.overhead_s for other in nodes if other.device == device}) == 1
            found.setdefault(key, (node, device, kind, same))
    return list(found.values())


def _as_led(nodes: Sequence[Node], pool: Sequence[Node], lead: Node, dtype: str, count: int) -> Node:
    """The sum of the best `count` of nodes, by every figure, with the efficiencies of another one."""
    formats = sorted({name for node in pool for name in node.compute_flops_per_s})
    reading, compute = lead.bandwidth_efficiency, lead.compute_efficiency

    def peak(node: Node, name: str) -> float:
        own = node.peak_flops_per_s(name)
        return (own if name in node.compute_flops_per_s else max(own, node.peak_flops_per_s(dtype))) / compute

    def most(values: Sequence[float]) -> float:
        return sum(nlargest(count, values))

    return replace(
        lead,
        memory_bytes=most([node.memory_bytes for node in nodes]),
        reserve_bytes=sum(nsmallest(count, [node.reserve_bytes for node in nodes])),
        compute_flops_per_s={
            name: most([peak(node, name) * node.compute_efficiency for node in nodes]) for name in formats
        },
        memory_bandwidth_bytes_per_s=most([_reading(node) / reading for node in nodes]),
        pass_overhead_s=min(node.pass_overhead_s for node in nodes),
        cores=0.0,
        joins=False,
        offload=tuple(dict.fromkeys(part for node in pool for part in node.offload)),
    )
