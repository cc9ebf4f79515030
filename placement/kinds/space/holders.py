"""All that may hold blocks of some pipeline of a question: devices, groups of them, and either with parts elsewhere.

Groups are told by what they are made of, not by who is in them: the fastest links that such members have anywhere
count, so that no group that somebody forms is faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

from objectives.pipeline.rounds import Rounds
from objectives.pipeline.tables import CostTables
from objectives.pipeline.together import Holders
from placement.costs.build import build_tables
from placement.costs.parts import can_leave
from placement.costs.runtimes import costs_or_generic
from placement.export.checks import as_run_by
from placement.question.alike import kinds_of_nodes
from placement.question.cluster import Cluster, Node
from placement.question.model import Model
from placement.question.request import CACHE, PARTS, Away, Constraints, Request

from ..rules import exporter_of
from .crowds import best_groups, can_stand_for, members_alone, of_fewer_kinds, sizes_of_groups
from .groups import SHARES, group_node
from .hosts import computed, copies_of_cache, degrees_of
from .variants import holds_of, repeated_cache

FloatArray = npt.NDArray[np.float64]
MOST_HOLDERS = 192  # tables of groups that are listed one by one
MOST_KINDS = 500  # tables of single devices
NAMES = ("name", "members", "shares", "host")
SIZES = ((64, 1.05), (16, 1.2), (8, 1.5))  # micro-batch sizes up to which each is looked at; then ranges that grow so
MOST_SECONDS = 12_000  # of holders and sizes; where there are more, sizes are fewer


@dataclass(frozen=True, slots=True)
class Made:
    """A holder: the node that it acts as, device numbers, and the fastest link (s, bytes/s) to each main memory."""

    node: Node
    members: tuple[int, ...]
    homes: tuple[tuple[Node, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A holder: devices that it takes, seconds of rounds and of work (B, 1, L), memory for weights and caches."""

    members: tuple[int, ...]
    rounds: Rounds
    work: Rounds
    room_bytes: float


def holders_of(request: Request) -> Holders | None:
    """The holders of a question; where they are too many, fewer that are no slower (see `crowds`).

    None where the processors of a host could form too many groups, or nodes are of too many kinds that no other kind
    can stand for.

    Parameters
    ----------
    request : Request
        Of pipelines, no part of a block apart yet.
    """
    exporter = exporter_of(request.runtime)
    holds = None if exporter is None else exporter.holds
    if exporter is not None:
        request = as_run_by(exporter, request)
    request = _of_fewer_kinds(request)
    cluster = request.cluster
    kinds = kinds_of_nodes(cluster.nodes, NAMES)
    free = [k for k, node in enumerate(cluster.nodes) if node.name not in request.constraints.exclude]
    if len({kinds[k] for k in free}) > 2 * MOST_KINDS:
        return None
    pools = list(_pools(request, free, kinds)) if holds is None or holds.groups else []
    listed, crowds = _listed(request, pools, grouped=holds is None)
    if any(not can_stand_for([cluster.nodes[k] for k in pool]) for pool in crowds):
        return None
    made: dict[object, Made] = {}
    for members in (*((k,) for k in free), *listed):
        for one in _made(request, members, kinds):
            made.setdefault((tuple(sorted(kinds[k] for k in members)), one.node.shares), one)
    sizes = _sizes(request.workload.concurrency, len(made) + sum(map(len, crowds)))
    rows, first = list[Row](), None
    for one in made.values():
        for tables in _tables(request, one, sizes[:-1].tolist(), grouped=holds is None):
            first = first or tables
            rows.append(_row(one.members, tables))
    largest = max(row.room_bytes for row in rows)
    for pool in crowds:
        more, room = _crowd(request, pool, kinds, sizes[:-1].tolist(), grouped=holds is None)
        rows, largest = rows + more, max(largest, room)
    return None if first is None else _joined(request, first, rows, sizes, [kinds[k] for k in free], largest)


def _of_fewer_kinds(request: Request) -> Request:
    """The question with no slower nodes of fewer kinds, where there are too many."""
    nodes = request.cluster.nodes
    parts = any(node.main_memory for node in nodes) and any(node.offload for node in nodes)
    most = MOST_KINDS // (1 + len(list(_aways(request.model, PARTS)))) if parts else MOST_KINDS
    if len(set(kinds_of_nodes(nodes, NAMES))) <= most:
        return request
    return replace(request, cluster=replace(request.cluster, nodes=of_fewer_kinds(nodes, most)))


def _row(members: tuple[int, ...], tables: CostTables) -> Row:
    rounds = tables.rounds("throughput")
    return Row(members, rounds, rounds, float(tables.capacity_bytes[0]))


def _crowd(
    request: Request, pool: Sequence[int], kinds: Sequence[int], sizes: Sequence[int], *, grouped: bool
) -> tuple[list[Row], float]:
    """All groups of a pool: a row for each kind of member and choice of parts, and the memory of the largest group."""
    cluster, dtype = request.cluster, request.model.compute_dtype
    fastest = _fastest(cluster, pool, pool)
    if fastest is None:
        return [], 0.0
    ordered = sorted(pool, key=lambda k: (not cluster.nodes[k].offload, k))
    homes = _homes(request, ordered, kinds)
    around = [
        list(_tables(request, Made(node, tuple(pool[: counts[0]]), homes), sizes, grouped=grouped))
        for counts in sizes_of_groups(len(pool))
        for node in best_groups(cluster, pool, counts, fastest, dtype)
    ]
    lasting = [_least(tables) for tables in zip(*around, strict=True)]
    memory, rows = costs_or_generic(request.runtime or request.costs).memory, []
    for number in {kinds[k]: k for k in reversed(pool)}.values():
        node = cluster.nodes[number]
        # Of what a group keeps for itself, the part of one member may be as little as its own reserve.
        room = node.memory_bytes * (1.0 - memory.fragmentation) - node.reserve_bytes * memory.reserve_share
        mine = [
            list(_tables(request, Made(alone, (number,), homes), sizes, grouped=grouped))
            for alone in members_alone(cluster, pool, number, dtype)
        ]
        works = [_least(tables) for tables in zip(*mine, strict=True)]
        rows += [Row((number,), both[0], both[1], room) for both in zip(lasting, works, strict=False)]
    return rows, max(float(tables[0].capacity_bytes[0]) for tables in around)


def _least(tables: Sequence[CostTables]) -> Rounds:
    """The least seconds of any of the first nodes of tables."""
    rounds = [one.rounds("throughput") for one in tables]
    short = np.min([one.short_s[:, :1] for one in rounds], axis=0)
    return replace(rounds[0], short_s=short, convoy_s=np.min([one.convoy_s[:, :1] for one in rounds], axis=0))


def _listed(
    request: Request, pools: Sequence[list[list[int]]], *, grouped: bool
) -> tuple[list[tuple[int, ...]], list[list[int]]]:
    """The groups of pools that have few, and the devices of those that have too many."""
    found, crowds, tables = list[tuple[int, ...]](), list[list[int]](), 0
    nodes = request.cluster.nodes
    parts = 1 + (len(list(_aways(request.model, PARTS))) if grouped else 0)
    hosts = {node.host for node in nodes if node.main_memory}
    for classes in sorted(pools, key=lambda classes: prod(len(members) + 1 for members in classes)):
        few = prod(len(members) + 1 for members in classes) <= 4 * MOST_HOLDERS or len(classes) == 1
        choices = list(_choices(request, classes)) if few else []
        apart = any(nodes[k].offload and nodes[k].host in hosts for members in classes for k in members)
        tables += len(choices) * (len(SHARES) if len(classes) > 1 else 1) * (parts if apart else 1)
        if few and tables <= MOST_HOLDERS:
            found += choices
        elif degrees_of(request.model, sum(map(len, classes))):
            crowds.append([k for members in classes for k in members])
    return found, crowds


def _pools(request: Request, free: Sequence[int], kinds: Sequence[int]) -> Iterator[list[list[int]]]:
    """Devices that may join by class, of each kind of host; with `across_hosts`, those of one class of all hosts."""
    nodes, seen = request.cluster.nodes, set[tuple[int, ...]]()
    pools: dict[tuple[str, bool], list[int]] = {}
    for k in free:
        if nodes[k].joins and computed(nodes[k]):
            pools.setdefault((nodes[k].host, nodes[k].main_memory), []).append(k)
    everywhere: dict[int, list[int]] = {}
    for (host, _), inside in pools.items():
        classes: dict[int, list[int]] = {}
        for k in inside:
            classes.setdefault(kinds[k], []).append(k)
            everywhere.setdefault(kinds[k], []).append(k)
        mark = tuple(sorted(kinds[k] for k in inside))
        if host and mark not in seen:
            seen.add(mark)
            yield list(classes.values())
    for members in everywhere.values() if request.across_hosts else ():
        yield [members]


def _choices(request: Request, classes: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Numbers of devices of each class, alike ones only where they divide heads."""
    degrees = degrees_of(request.model, sum(map(len, classes)))
    for counts in product(*(range(len(members) + 1) for members in classes)):
        alike = sum(count > 0 for count in counts) == 1
        if sum(counts) > 1 and degrees and (sum(counts) in degrees or not alike):
            yield tuple(k for members, count in zip(classes, counts, strict=True) for k in members[:count])


def _made(request: Request, members: tuple[int, ...], kinds: Sequence[int]) -> Iterator[Made]:
    """A device as it is, or a group for each way to share."""
    cluster = request.cluster
    homes = _homes(request, members, kinds)
    if len(members) == 1:
        yield Made(cluster.nodes[members[0]], members, homes)
        return
    mine = {kinds[k] for k in members}
    alike = [k for k, kind in enumerate(kinds) if kind in mine]
    fastest = _fastest(cluster, alike, alike)
    if fastest is not None:
        unlike = len({(cluster.nodes[k].memory_bytes, kinds[k]) for k in members}) > 1
        for how in SHARES if unlike else SHARES[:1]:
            group = group_node(cluster, members, how, fastest)
            offload = tuple(dict.fromkeys(part for k in members for part in cluster.nodes[k].offload))
            yield Made(replace(group, offload=offload), members, homes)


def _homes(request: Request, members: Sequence[int], kinds: Sequence[int]) -> tuple[tuple[Node, float, float], ...]:
    """Kinds of main memories that devices of these kinds may leave parts in, each with the fastest link."""
    nodes, mine, first = request.cluster.nodes, {kinds[k] for k in members}, request.cluster.nodes[members[0]]
    if first.main_memory or not first.offload:
        return ()
    found: dict[int, tuple[Node, float, float]] = {}
    hosts = {nodes[k].host for k, kind in enumerate(kinds) if kind in mine}
    for home, node in enumerate(nodes):
        if node.main_memory and node.host and node.host in hosts and kinds[home] not in found:
            alike = [k for k, kind in enumerate(kinds) if kind == kinds[home]]
            cards = [k for k, kind in enumerate(kinds) if kind in mine]
            speed = _fastest(request.cluster, cards, alike)
            if speed is not None:
                found[kinds[home]] = (node, *speed)
    return tuple(found.values())


def _fastest(cluster: Cluster, ones: Sequence[int], others: Sequence[int]) -> tuple[float, float] | None:
    """The least latency and the most bandwidth of links between nodes of two lists; None where there is none."""
    pick = np.ix_(list(ones), list(others))
    linked = (cluster.bandwidth_bytes_per_s[pick] > 0) & np.isfinite(cluster.bandwidth_bytes_per_s[pick])
    if not linked.any():
        return None
    return float(cluster.latency_s[pick][linked].min()), float(cluster.bandwidth_bytes_per_s[pick][linked].max())


def _sizes(concurrency: int, holders: int) -> npt.NDArray[np.int64]:
    """Micro-batch sizes that are looked at, and the one after the last."""
    for exact, growth in SIZES:
        sizes = list(range(1, min(concurrency, exact) + 1))
        while sizes[-1] < concurrency:
            sizes.append(min(concurrency, int(sizes[-1] * growth) + 1))
        if len(sizes) * holders <= MOST_SECONDS:
            break
    return np.array([*sizes, concurrency + 1], dtype=np.int64)


def _tables(request: Request, one: Made, sizes: Sequence[int], *, grouped: bool) -> Iterator[CostTables]:
    """The tables of a holder with its blocks whole, and with each choice of parts of all blocks that can leave it."""
    copies = copies_of_cache(request.model, len(one.members)) if len(one.members) > 1 else 1
    plain = replace(request, model=repeated_cache(request.model, copies), constraints=Constraints(), away=())
    card = replace(one.node, name="holder", host="")
    yield build_tables(replace(plain, cluster=_pair([card], 0.0, 1e18)), sizes=sizes)
    holds = holds_of(request)
    if len(one.members) > 1 and not grouped:
        return
    for home, latency, bandwidth in one.homes:
        pair = _pair([card, replace(home, name="home", host="")], latency, bandwidth)
        for away in _aways(request.model, [part for part in one.node.offload if holds is None or part in holds.parts]):
            yield build_tables(replace(plain, cluster=pair, away=away), sizes=sizes)


def _aways(model: Model, parts: Sequence[str]) -> Iterator[tuple[Away, ...]]:
    """Each part of all blocks that have it, by itself and with the cache beside it."""
    able = {part: tuple(b for b, block in enumerate(model.blocks) if can_leave(block, part)) for part in parts}
    aways = [Away(part, blocks, "home", ("holder",)) for part, blocks in able.items() if blocks]
    yield from ((away,) for away in aways)
    cache = [away for away in aways if away.part == CACHE]
    yield from ((away, *cache) for away in aways if cache and away.part != CACHE)


def _pair(nodes: Sequence[Node], latency: float, bandwidth: float) -> Cluster:
    """A cluster of one or two nodes with one speed between all places."""
    size = len(nodes) + 1
    latencies, bandwidths = np.full((size, size), latency), np.full((size, size), bandwidth)
    np.fill_diagonal(latencies, 0.0)
    np.fill_diagonal(bandwidths, np.inf)
    return Cluster(tuple(nodes), latencies, bandwidths)


def _joined(
    request: Request,
    whole: CostTables,
    rows: Sequence[Row],
    sizes: npt.NDArray[np.int64],
    kinds: Sequence[int],
    largest: float,
) -> Holders:
    """The holders as arrays; each is the first node of its tables."""
    number = {kind: place for place, kind in enumerate(sorted(set(kinds)))}
    all_kinds = kinds_of_nodes(request.cluster.nodes, NAMES)
    devices = np.zeros((len(rows), len(number)))
    for row, one in enumerate(rows):
        np.add.at(devices[row], [number[all_kinds[k]] for k in one.members], 1.0)
    crowded = any(row.work is not row.rounds for row in rows)
    hop_s, ends_s = _least_hops(request.cluster)
    return Holders(
        sizes=sizes,
        rates=_side_by_side([row.rounds for row in rows]),
        work=_side_by_side([row.work for row in rows]) if crowded else None,
        allowed=np.ones((len(rows), request.model.n_blocks), dtype=bool),
        devices=devices,
        room_bytes=np.array([row.room_bytes for row in rows]),
        largest_bytes=largest,
        supply=np.bincount([number[kind] for kind in kinds], minlength=len(number)).astype(np.float64),
        weight_bytes=float(whole.weight_bytes.sum()),
        kv_bytes=float(whole.kv_bytes.sum()),
        hop_s=hop_s,
        ends_s=ends_s,
    )


def _side_by_side(rounds: Sequence[Rounds]) -> Rounds:
    """The first nodes of several as the nodes of one."""
    short = np.stack([one.short_s[:, 0] for one in rounds], axis=1)
    return replace(rounds[0], short_s=short, convoy_s=np.stack([one.convoy_s[:, 0] for one in rounds], axis=1))


def _least_hops(cluster: Cluster) -> tuple[float, float]:
    """Least latency (s) of a hop between two nodes, and of both ways of the client together."""
    latency = np.where(cluster.bandwidth_bytes_per_s > 0, cluster.latency_s, np.inf)
    inner = latency[:-1, :-1][~np.eye(cluster.n_nodes, dtype=bool)]
    ends = latency[-1, :-1].min() + latency[:-1, -1].min()
    return float(inner.min()) if len(inner) else 0.0, float(ends)
