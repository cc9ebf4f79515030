"""Tensor parallel groups as nodes: devices of a host that hold blocks together, in the place of the devices.

The work of a block is divided by the shares, its activations are summed over the slowest link between the members (see
`costs/roofline.py`). Devices of a group are in no other one, so that groups that share a device exclude each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from placement.catalog.hardware import common_class
from placement.costs.runtimes import class_of
from placement.question.alike import kinds_of_nodes
from placement.question.cluster import Cluster, FloatArray, Node

from ...quantities import whole_number
from .hosts import Grouping

SHARES = ("equal", "speed", "memory")
"""How a group of unlike devices may divide a matrix."""
Sharing = str | Sequence[tuple[int, ...]]


def grouped(cluster: Cluster, groups: Grouping, shares: Sharing = "equal") -> Cluster:
    """The cluster with each group as one node, in the place of its first member.

    Parameters
    ----------
    groups : tuple of tuple of int
        Node numbers; none is in two of them.
    shares : str, or one tuple for each group
        One of `SHARES`: what unlike members divide by; or whole percents of each member, empty where they are equal.
    """
    of_first = {group[0]: group for group in groups}
    part = {group[0]: shares if isinstance(shares, str) else shares[k] for k, group in enumerate(groups)}
    inside = {number for group in groups for number in group}
    kept = [number for number in range(cluster.n_nodes) if number in of_first or number not in inside]
    members = [of_first.get(number, (number,)) for number in kept]
    client = cluster.n_nodes
    places = [*members, (client,)]
    latency = _joined(np.maximum, cluster.latency_s, places)
    bandwidth = _joined(np.minimum, cluster.bandwidth_bytes_per_s, places)
    slowest = list(zip(latency.diagonal().tolist(), bandwidth.diagonal().tolist(), strict=True))
    kinds = kinds_of_nodes(cluster.nodes, ("name", "host", "region"))
    made: dict[Hashable, Node] = {}
    nodes = []
    for place, (number, group) in enumerate(zip(kept, members, strict=True)):
        if len(group) == 1:
            nodes.append(cluster.nodes[number])
            continue
        alike = (tuple(kinds[one] for one in group), part[number], slowest[place])
        if alike not in made:
            made[alike] = group_node(cluster, group, part[number], slowest[place])
        nodes.append(_named(cluster, made[alike], group))
    np.fill_diagonal(latency, 0.0)
    np.fill_diagonal(bandwidth, np.inf)
    return Cluster(tuple(nodes), latency, bandwidth, cluster.notes)


def _joined(worst: np.ufunc, table: FloatArray, places: Sequence[tuple[int, ...]]) -> FloatArray:
    """A table between places made of nodes: the worst link between their members."""
    order = [number for place in places for number in place]
    begins = np.cumsum([0, *(len(place) for place in places[:-1])])
    sorted_table = table if order == list(range(len(order))) else table[np.ix_(order, order)]
    rows = worst.reduceat(sorted_table, begins, axis=0)
    joined: FloatArray = worst.reduceat(rows, begins, axis=1)
    return joined


def group_name(cluster: Cluster, group: Sequence[int], percents: Sequence[int] = ()) -> str:
    """Name of a group: ``a-0..a-3`` of neighbours in the cluster, else ``a-0+b``; ``a-0+b@70:30`` with its shares."""
    names = [cluster.nodes[number].name for number in group]
    neighbours = list(group) == list(range(group[0], group[0] + len(group)))
    name = f"{names[0]}..{names[-1]}" if neighbours and len(group) > 2 else "+".join(names)
    return f"{name}@{':'.join(map(str, percents))}" if percents else name


def members_of(name: str, names: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Node numbers of a group by its name, and the shares that it states; empty where it is none."""
    index = {node: number for number, node in enumerate(names)}
    if name in index:
        return (), ()
    plain, _, stated = name.rpartition("@") if "@" in name and plain_shares(name.rpartition("@")[2]) else (name, "", "")
    members = _members(plain, index)
    percents = plain_shares(stated)
    if percents and len(percents) != len(members):
        return (), ()
    return members, percents


def plain_shares(text: str) -> tuple[int, ...]:
    """Whole numbers above 0 with colons between them; empty for anything else."""
    parts = text.split(":")
    shares = tuple(whole_number(part, 9) or 0 for part in parts)
    return shares if len(shares) > 1 and min(shares) > 0 else ()


def _members(name: str, index: Mapping[str, int]) -> tuple[int, ...]:
    first, dots, last = name.partition("..")
    if dots and first in index and last in index and index[first] < index[last]:
        return tuple(range(index[first], index[last] + 1))
    parts = name.split("+")
    if len(parts) > 1 and all(part in index for part in parts) and len(set(parts)) == len(parts):
        return tuple(index[part] for part in parts)
    return ()


def home_of(cluster: Cluster) -> Mapping[str, str]:
    """Name of the group that each of its members is in."""
    return {member: node.name for node in cluster.nodes for member in node.members}


def group_node(
    cluster: Cluster, group: Sequence[int], shares: str | tuple[int, ...], slowest: tuple[float, float]
) -> Node:
    """A node that stands for devices; `slowest`: the slowest latency and bandwidth between them."""
    nodes = [cluster.nodes[number] for number in group]
    percents = _percents(nodes, shares) if isinstance(shares, str) else shares
    part = [percent / sum(percents) for percent in percents] or [1.0 / len(nodes)] * len(nodes)
    formats = {name for node in nodes for name in node.compute_flops_per_s}
    compute, reading = nodes[0].compute_efficiency, nodes[0].bandwidth_efficiency
    alike = len({node.device for node in nodes}) == 1
    return replace(
        nodes[0],
        name=group_name(cluster, group, percents),
        device=nodes[0].device if alike else "",
        device_class="" if alike else common_class([class_of(node) for node in nodes]),
        # The member that is full first fills the group; what a runtime keeps for itself is taken off this later.
        memory_bytes=min(node.memory_bytes / share for node, share in zip(nodes, part, strict=True)),
        reserve_bytes=max(node.reserve_bytes / share for node, share in zip(nodes, part, strict=True)),
        compute_flops_per_s={
            name: min(
                node.peak_flops_per_s(name) * (node.compute_efficiency / compute) / share
                for node, share in zip(nodes, part, strict=True)
            )
            for name in sorted(formats)
        },
        memory_bandwidth_bytes_per_s=min(
            _rate(node) / reading / share for node, share in zip(nodes, part, strict=True)
        ),
        cores=sum(node.cores for node in nodes),
        overhead_s=max(node.overhead_s for node in nodes),
        pass_overhead_s=max(node.pass_overhead_s for node in nodes),
        price_per_hour=sum(node.price_per_hour for node in nodes),
        power_w=sum(node.power_w for node in nodes),
        availability=float(np.prod([node.availability for node in nodes])),
        joins=False,
        members=tuple(node.name for node in nodes),
        shares=tuple(part) if percents else (),
        tensor_parallel=len(nodes),
        topology=next((word for word in ("host", "ring") if word in {node.topology for node in nodes}), "tree"),
        all_reduce_latency_s=slowest[0],
        all_reduce_bandwidth_bytes_per_s=slowest[1],
    )


def _named(cluster: Cluster, like: Node, group: Sequence[int]) -> Node:
    """A group of the same kind as another one."""
    percents = plain_shares(like.name.rpartition("@")[2]) if like.shares else ()
    members = tuple(cluster.nodes[number].name for number in group)
    first = cluster.nodes[group[0]]
    host = first.host if len({cluster.nodes[number].host for number in group}) == 1 else ""
    return replace(like, name=group_name(cluster, group, percents), members=members, host=host, region=first.region)


def _rate(node: Node) -> float:
    return node.memory_bandwidth_bytes_per_s * node.bandwidth_efficiency


def _percents(nodes: Sequence[Node], how: str) -> tuple[int, ...]:
    """Shares in whole percents, so that a group's name can state them; empty for equal ones."""
    if how == "equal" or not unlike_nodes(nodes):
        return ()
    weights = [_rate(node) if how == "speed" else node.memory_bytes - node.reserve_bytes for node in nodes]
    return tuple(max(1, round(100 * weight / sum(weights))) for weight in weights)


def unlike_nodes(nodes: Sequence[Node]) -> bool:
    """Whether nodes differ in speed or memory."""
    return len({(_rate(node), node.memory_bytes) for node in nodes}) > 1


def ways(cluster: Cluster, groups: Grouping) -> Iterator[str]:
    """Ways to divide that are worth a look."""
    yield "equal"
    if any(unlike_nodes([cluster.nodes[number] for number in group]) for group in groups):
        yield from SHARES[1:]
