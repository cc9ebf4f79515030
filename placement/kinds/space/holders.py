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
from placement.export.checks import as_run_by
from placement.question.alike import kinds_of_nodes
from placement.question.cluster import Cluster, Node
from placement.question.model import Model
from placement.question.request import CACHE, Away, Constraints, Request

from ..rules import exporter_of
from .groups import SHARES, group_node
from .hosts import computed, copies_of_cache, degrees_of
from .variants import holds_of, repeated_cache

FloatArray = npt.NDArray[np.float64]
MOST_HOLDERS = 96  # beside single devices
MOST_KINDS = 500  # of single devices
SIZES = ((64, 1.05), (16, 1.2), (8, 1.5))  # micro-batch sizes up to which each is looked at; then ranges that grow so
MOST_SECONDS = 12_000  # of holders and sizes; where there are more, sizes are fewer


@dataclass(frozen=True, slots=True)
class Made:
    """A holder: the node that it acts as, device numbers, and the fastest link (s, bytes/s) to each main memory."""

    node: Node
    members: tuple[int, ...]
    homes: tuple[tuple[Node, float, float], ...] = ()


def holders_of(request: Request) -> Holders | None:
    """The holders of a question; None where they are too many.

    Parameters
    ----------
    request : Request
        Of pipelines, no part of a block apart yet.
    """
    exporter = exporter_of(request.runtime)
    holds = None if exporter is None else exporter.holds
    if exporter is not None:
        request = as_run_by(exporter, request)
    cluster = request.cluster
    kinds = kinds_of_nodes(cluster.nodes, ("name", "members", "shares", "host"))
    free = [k for k, node in enumerate(cluster.nodes) if node.name not in request.constraints.exclude]
    made: dict[object, Made] = {}
    single = len({kinds[k] for k in free})
    most = MOST_HOLDERS + single
    if single > MOST_KINDS:
        return None
    for members in (*((k,) for k in free), *(_groups(request, free, kinds) if holds is None or holds.groups else ())):
        for one in _made(request, members, kinds):
            made.setdefault((tuple(sorted(kinds[k] for k in members)), one.node.shares), one)
            if len(made) > most:
                return None
    sizes = _sizes(request.workload.concurrency, len(made))
    rows: list[tuple[Made, CostTables]] = []
    for one in made.values():
        rows += [(one, tables) for tables in _tables(request, one, sizes[:-1].tolist(), grouped=holds is None)]
        if len(rows) > most:
            return None
    return _joined(request, rows, sizes, [kinds[k] for k in free])


def _groups(request: Request, free: Sequence[int], kinds: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Devices that may join, one of each choice of kinds in each kind of host; with `across_hosts`, over hosts too."""
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
            yield from _choices(request, list(classes.values()))
    for members in everywhere.values() if request.across_hosts else ():
        yield from _choices(request, [members])


def _choices(request: Request, classes: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Numbers of devices of each class, alike ones only where they divide heads."""
    degrees = degrees_of(request.model, sum(map(len, classes)))
    if not degrees or prod(len(members) + 1 for members in classes) > 4 * MOST_HOLDERS:
        degrees = degrees if len(classes) == 1 else []
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
    request: Request, rows: Sequence[tuple[Made, CostTables]], sizes: npt.NDArray[np.int64], kinds: Sequence[int]
) -> Holders:
    """The holders as arrays; each is the first node of its tables."""
    rounds = [tables.rounds("throughput") for _, tables in rows]
    first, number = rounds[0], {kind: place for place, kind in enumerate(sorted(set(kinds)))}
    all_kinds = kinds_of_nodes(request.cluster.nodes, ("name", "members", "shares", "host"))
    devices = np.zeros((len(rows), len(number)))
    for row, (one, _) in enumerate(rows):
        np.add.at(devices[row], [number[all_kinds[k]] for k in one.members], 1.0)
    whole = rows[0][1]
    hop_s, ends_s = _least_hops(request.cluster)
    return Holders(
        sizes=sizes,
        rates=Rounds(
            short_s=np.stack([one.short_s[:, 0] for one in rounds], axis=1),
            convoy_s=np.stack([one.convoy_s[:, 0] for one in rounds], axis=1),
            share=first.share,
            tokens=first.tokens,
            prompts=first.prompts,
            passes=first.passes,
            fixed_s=first.fixed_s,
            staged=first.staged,
        ),
        allowed=np.ones((len(rows), request.model.n_blocks), dtype=bool),
        devices=devices,
        room_bytes=np.array([float(tables.capacity_bytes[0]) for _, tables in rows]),
        supply=np.bincount([number[kind] for kind in kinds], minlength=len(number)).astype(np.float64),
        weight_bytes=float(whole.weight_bytes.sum()),
        kv_bytes=float(whole.kv_bytes.sum()),
        hop_s=hop_s,
        ends_s=ends_s,
    )


def _least_hops(cluster: Cluster) -> tuple[float, float]:
    """Least latency (s) of a hop between two nodes, and of both ways of the client together."""
    latency = np.where(cluster.bandwidth_bytes_per_s > 0, cluster.latency_s, np.inf)
    inner = latency[:-1, :-1][~np.eye(cluster.n_nodes, dtype=bool)]
    ends = latency[-1, :-1].min() + latency[:-1, -1].min()
    return float(inner.min()) if len(inner) else 0.0, float(ends)
