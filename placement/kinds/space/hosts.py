"""Devices that may hold blocks together, host by host, and the groupings of each host worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

from placement.question.alike import kinds_of_nodes
from placement.question.cluster import Cluster, Node
from placement.question.model import Model
from placement.question.request import Constraints

Grouping = tuple[tuple[int, ...], ...]
"""Groups of node numbers; devices that are in none stay single."""

Mark = tuple[tuple[int, int], ...]
"""Kinds of devices of a host, each with its number: alike hosts have the same."""

MOST_UNLIKE = 4  # devices of a host of which every grouping is tried, where they differ
MOST_GROUPINGS = 32


@dataclass(frozen=True, slots=True)
class Host:
    """Devices of one host that may join each other.

    Attributes
    ----------
    name : str
    devices : tuple of int
        Node numbers.
    classes : tuple of tuple of int
        The same, those that are alike together.
    """

    name: str
    devices: tuple[int, ...]
    classes: tuple[tuple[int, ...], ...]


def hosts_of(cluster: Cluster, rules: Constraints) -> list[tuple[Host, Mark]]:
    """Hosts with two devices or more that may join, each with a mark that alike hosts share."""
    kinds = kinds_of_nodes(cluster.nodes, ("name", "members", "shares", "host"))
    found: dict[str, list[int]] = {}
    for number, node in enumerate(cluster.nodes):
        if node.host and node.joins and computed(node) and node.name not in rules.exclude:
            found.setdefault(node.host, []).append(number)
    hosts: list[tuple[Host, Mark]] = []
    for name, inside in found.items():
        cards = [k for k in inside if not cluster.nodes[k].main_memory]
        numbers = cards or inside  # a processor joins no card
        linked = [k for k in numbers if all(_linked(cluster, k, other) for other in numbers if other != k)]
        if len(linked) < 2:
            continue
        classes: dict[int, list[int]] = {}
        for number in linked:
            classes.setdefault(kinds[number], []).append(number)
        ordered = sorted(classes.items(), key=lambda item: item[1])
        mark = tuple((kind, len(members)) for kind, members in ordered)
        hosts.append((Host(name, tuple(linked), tuple(tuple(members) for _, members in ordered)), mark))
    return hosts


def across(cluster: Cluster, rules: Constraints, degrees: Sequence[int]) -> Iterator[Grouping]:
    """Groupings in which devices of several alike hosts join: whole hosts, 2, 4, 8, ... or all of a kind.

    Hosts left over and hosts of other kinds stay single devices. A group needs links between all its members.
    """
    kinds = kinds_of_nodes(cluster.nodes, ("name", "members", "shares", "host"))
    found: dict[str, list[int]] = {}
    for number, node in enumerate(cluster.nodes):
        if node.joins and computed(node) and not node.main_memory and node.name not in rules.exclude:
            found.setdefault(node.host or f"node {node.name}", []).append(number)
    alike: dict[tuple[int, ...], list[list[int]]] = {}
    for numbers in found.values():
        if len({kinds[number] for number in numbers}) == 1:
            alike.setdefault(tuple(kinds[number] for number in numbers), []).append(numbers)
    for hosts in alike.values():
        for many in sorted({2**k for k in range(1, 11)} | {len(hosts)}):
            if not 1 < many <= len(hosts) or many * len(hosts[0]) not in degrees:
                continue
            joined = [list(chain.from_iterable(hosts[k : k + many])) for k in range(0, len(hosts) - many + 1, many)]
            groups = tuple(tuple(group) for group in joined if _all_linked(cluster, group))
            if groups:
                yield groups


def _all_linked(cluster: Cluster, group: Sequence[int]) -> bool:
    return all(_linked(cluster, one, other) for one, other in combinations(group, 2))


def degrees_of(model: Model, most: int) -> list[int]:
    """Numbers of devices above 1 that can divide the heads of a model; a cache that cannot be divided is repeated."""
    if not model.heads:
        return []
    pieces = model.kv_heads or model.heads
    return [
        degree
        for degree in range(2, most + 1)
        if model.heads % degree == 0 and (pieces % degree == 0 or degree % pieces == 0)
    ]


def copies_of_cache(model: Model, degree: int) -> int:
    """How often a group of so many devices holds each byte of cache."""
    return max(1, degree // max(1, model.kv_heads or model.heads or degree))


def groupings(host: Host, degrees: Sequence[int], uneven: Sequence[int] = ()) -> list[Grouping]:
    """Groupings of a host, the one of single devices first; alike devices are not told apart.

    Parameters
    ----------
    degrees : sequence of int
        Sizes that groups of equal shares may have.
    uneven : sequence of int
        Sizes that groups of unlike devices may have.
    """
    if len(host.classes) > 1 and len(host.devices) <= MOST_UNLIKE:
        found = {
            _signature(host, grouping): grouping
            for grouping in _set_partitions(host.devices)
            if all(len(group) in (uneven if _unlike(host, group) else degrees) for group in grouping)
        }
        return sorted(found.values(), key=lambda grouping: (len(grouping) > 0, -len(grouping), grouping))
    per_class = [[_cut(members, sizes) for sizes in _sizes(len(members), degrees)] for members in host.classes]
    found_all = [tuple(group for part in choice for group in part) for choice in _short(product(*per_class))]
    if len(host.classes) > 1 and len(host.devices) in uneven:
        found_all.append((host.devices,))
    return found_all


def _short(choices: Iterator[tuple[Grouping, ...]]) -> Iterator[tuple[Grouping, ...]]:
    return (choice for _, choice in zip(range(MOST_GROUPINGS), choices, strict=False))


def _sizes(count: int, degrees: Sequence[int], largest: int | None = None) -> list[tuple[int, ...]]:
    """Sizes of groups that use up to `count` devices, the rest single: equal ones first, then mixed."""
    largest = count if largest is None else largest
    found: list[tuple[int, ...]] = [()]
    for size in (degree for degree in degrees if degree <= min(count, largest)):
        found += [(size, *rest) for rest in _sizes(count - size, degrees, size)]
    return sorted(found, key=lambda sizes: (bool(sizes), len(set(sizes)) > 1 or sum(sizes) < count, len(sizes)))


def _cut(members: Sequence[int], sizes: Sequence[int]) -> Grouping:
    found, reached = [], 0
    for size in sizes:
        found.append(tuple(members[reached : reached + size]))
        reached += size
    return tuple(found)


def _set_partitions(items: Sequence[int]) -> Iterator[Grouping]:
    """All ways to form groups of two or more; the rest stays single."""
    if not items:
        yield ()
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            left = tuple(item for item in rest if item not in others)
            for more in _set_partitions(left):
                yield (((first, *others), *more) if size else more)


def _signature(host: Host, grouping: Grouping) -> tuple[tuple[int, ...], ...]:
    kind = {number: k for k, members in enumerate(host.classes) for number in members}
    return tuple(sorted(tuple(sorted(kind[number] for number in group)) for group in grouping))


def _unlike(host: Host, group: Sequence[int]) -> bool:
    return not any(set(group) <= set(members) for members in host.classes)


def computed(node: Node) -> bool:
    """Whether the times of a group with it can be computed: nobody measured it, and it is one accelerator."""
    measured = node.decode_s_per_block or node.decode_table or node.prefill_s_per_block
    rates = node.memory_bandwidth_bytes_per_s > 0 and bool(node.compute_flops_per_s)
    return rates and not measured and node.tensor_parallel == 1


def _linked(cluster: Cluster, one: int, other: int) -> bool:
    return bool(cluster.bandwidth_bytes_per_s[one, other] > 0 and cluster.bandwidth_bytes_per_s[other, one] > 0)
