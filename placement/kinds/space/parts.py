"""Which blocks leave a part in main memory: counts per stage, by dynamic programming over stages.

A stage on a card must free what it lacks. Parts that are alike free the same bytes and cost the same seconds, so how
many of them leave is all that counts, kind by kind: routed experts of some layers and the feed-forward of dense ones
may leave together. Where kinds are many, those with the least seconds per byte leave first. The program goes over the
stages in any order of nodes, as M. Held and R. M. Karp's for the travelling salesman does over cities (J. SIAM 10(1),
1962, doi:10.1137/0110015); fractions of the cheapest parts give a bound on every choice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from objectives.combine import Objective
from objectives.pipeline.additive import ADDITIVE, Additive, step_cost, weighted_cost
from objectives.pipeline.tables import CostTables
from placement.costs.build import build_tables
from placement.costs.parts import can_leave
from placement.question.cluster import Node
from placement.question.request import CACHE, PARTS, Away, Request

from .cover import between, countable, cover

FloatArray = npt.NDArray[np.float64]
SHARINGS = ("free", "parts", "even")
"""All of it for each card, beside own blocks; for parts alone; for parts alone, the same for every card."""
KindOfPart = tuple[float, float, npt.NDArray[np.bool_]]
"""Bytes that leave with one part, what it adds to a cost, and which blocks have it."""
MOST_NODES = 7  # of which every order is tried
MOST_TRIED = 12
SLACK = 5e-10  # of a bound, for rounding


@dataclass(frozen=True, slots=True)
class Proposed:
    """A question some of whose blocks lie in parts; `least` bounds the cost of all questions like it."""

    request: Request
    least: float


def part_variants(request: Request, kinds: Collection[str] = PARTS, *, hosts: int = 1) -> Iterator[Proposed]:
    """Questions in which cards leave parts of their blocks in the main memory of their host.

    Weights of several parts leave together, each block one of them, with or without the cache of all layers.

    Parameters
    ----------
    request : Request
    kinds : collection of str
        Parts that may leave.
    hosts : int
        Most hosts whose memories hold parts at once.
    """
    homes: dict[str, list[tuple[Away, ...]]] = {}
    for home in request.cluster.nodes:
        if home.main_memory and home.host and home.name not in request.constraints.exclude:
            homes.setdefault(home.host, []).append(tuple(_leaving(request, home, kinds)))
    firsts = []
    for host in homes.values():
        for number, aways in enumerate(host):
            weights = tuple(away for away in aways if away.part != CACHE)
            firsts += [weights] if weights and not number else []
            for base in (request, *_without_cache(request, aways)):
                if base.away:
                    yield Proposed(base, np.inf)
                if weights:
                    yield from _choices(base, weights)
    if 1 < len(firsts) <= hosts:
        yield from _choices(request, tuple(away for aways in firsts for away in aways))


def _leaving(request: Request, home: Node, kinds: Collection[str]) -> Iterator[Away]:
    """Each part that cards can leave in a main memory, with all blocks that have it."""
    cards = [node for node in request.cluster.nodes if node.host == home.host and node.offload and node is not home]
    for part in dict.fromkeys(part for card in cards for part in card.offload if part in kinds):
        mine = tuple(card.name for card in cards if part in card.offload)
        blocks = tuple(b for b, block in enumerate(request.model.blocks) if can_leave(block, part))
        if blocks and all(linked_both(request, name, home.name) for name in mine):
            yield Away(part, blocks, home.name, mine)


def linked_both(request: Request, card: str, home: str) -> bool:
    """Whether two nodes reach each other directly."""
    cluster = request.cluster
    pair = cluster.index(card), cluster.index(home)
    return bool(cluster.bandwidth_bytes_per_s[pair] > 0 and cluster.bandwidth_bytes_per_s[pair[::-1]] > 0)


def _without_cache(request: Request, aways: Sequence[Away]) -> Iterator[Request]:
    """The question with the cache of all layers in main memory, where that has room: of all layers, or of none."""
    for away in aways:
        if away.part == CACHE:
            home = request.cluster.index(away.home)
            found = replace(request, away=(away,))
            room = (float(build_tables(one).capacity_bytes[home]) for one in (request, found))
            if next(room) > next(room) >= 0:
                yield found


def _choices(request: Request, everything: tuple[Away, ...]) -> Iterator[Proposed]:
    """The choices of blocks worth a search, each once, beside what is away already."""
    whole = build_tables(request)
    of_home: dict[str, tuple[Away, ...]] = {}
    for away in everything:
        of_home[away.home] = (*of_home.get(away.home, ()), away)
    apart = {home: build_tables(replace(request, away=(*request.away, *aways))) for home, aways in of_home.items()}
    space = Space(request, whole, apart, everything)
    least = space.bound(request.objective)
    tried: dict[tuple[Away, ...], None] = {}
    for cost, in_flight in _wanted(request.objective, whole):
        for sharing in SHARINGS:
            found = space.best(cost, in_flight, fractions=False, sharing=sharing)
            tried.setdefault(found.away)
            if found.fits:
                break
    tried.pop((), None)
    if len(of_home) == 1:
        tried |= dict.fromkeys([everything, *((away,) for away in everything)])
    rooms = {home: float(whole.capacity_bytes[request.cluster.index(home)]) for home in of_home}
    for aways in list(tried)[:MOST_TRIED]:
        held = dict.fromkeys(rooms, 0.0)
        for away in aways:
            held[away.home] += sum(space.freed[b] for b in away.blocks)
        if all(held[home] <= room for home, room in rooms.items()):
            yield Proposed(replace(request, away=(*request.away, *aways)), least)


def _wanted(objective: Objective, tables: CostTables) -> Iterator[tuple[Weigh, int]]:
    """Costs whose best choices are tried, each with the number of sequences whose caches must fit."""
    if any(name in ADDITIVE for name in objective.weights):
        yield Weigh(dict(objective.weights)), 1
    sizes = sorted({1, *(2**k for k in range(20) if 2**k < tables.concurrency), tables.concurrency})
    for in_flight in reversed(sizes) if tables.concurrency > 1 else ():
        size = int(np.searchsorted(tables.batches, in_flight, side="right")) - 1
        yield Weigh({}, size), in_flight
    for name in ("latency", "ttft"):
        yield Weigh({name: 1.0}), 1


@dataclass(frozen=True)
class Weigh:
    """An additive cost of tables: weighted terms, or the step of a micro-batch size."""

    weights: dict[str, float]
    size: int | None = None

    def of(self, tables: CostTables) -> Additive:
        """The cost on tables."""
        return weighted_cost(tables, self.weights) if self.size is None else step_cost(tables, self.size)


@dataclass(frozen=True, slots=True)
class Found:
    """The best choice: its cost, the parts that leave, and whether their homes have room for them beside own blocks."""

    cost: float
    away: tuple[Away, ...]
    fits: bool = True


class Space:
    """All choices of blocks of one question.

    Parameters
    ----------
    request : Request
    whole : CostTables
        With every block in one piece but for what is away already.
    apart : mapping of str to CostTables
        By the home of the parts: with every part away that can be there.
    everything : tuple of Away
    """

    def __init__(
        self, request: Request, whole: CostTables, apart: Mapping[str, CostTables], everything: tuple[Away, ...]
    ) -> None:
        self.whole = whole
        self.leaves: dict[int, dict[int, Away]] = {}
        self.apart: dict[int, CostTables] = {}
        self.homes = {away.home: request.cluster.index(away.home) for away in everything}
        for away in everything:
            for card in map(request.cluster.index, away.cards):
                self.leaves.setdefault(card, {}).update(dict.fromkeys(away.blocks, away))
                self.apart[card] = apart[away.home]
        self.freed = np.max([np.maximum(whole.weight_bytes - one.weight_bytes, 0.0) for one in apart.values()], axis=0)

    def bound(self, objective: Objective) -> float:
        """A bound on the cost of every choice; 0 where the objective is no sum over stages and hops."""
        if not all(name in ADDITIVE for name in objective.weights) or self.whole.n_nodes > MOST_NODES:
            return 0.0
        weigh = Weigh(dict(objective.weights))
        base, others = self._costs(weigh)
        exact = all(countable([int(mask.sum()) for *_, mask in self._kinds(card, base, others)]) for card in others)
        return self.best(weigh, 1, fractions=not exact).cost * (1 - SLACK)

    def best(self, weigh: Weigh, in_flight: int, *, fractions: bool, sharing: str = "free") -> Found:
        """The least cost over orders of nodes, cuts and choices; with fractions of parts it is a bound.

        Parameters
        ----------
        weigh : Weigh
        in_flight : int
            Sequences whose caches must fit.
        fractions : bool
            Parts may leave in fractions.
        sharing : str
            One of `SHARINGS`: how a main memory is divided among the cards that leave parts there.
        """
        base, others = self._costs(weigh)
        nodes = [node for node in self._nodes() if sharing == "free" or node not in self.homes.values()]
        spans = {node: self._spans(node, (base, others), in_flight, fractions, sharing) for node in nodes}
        cost, stages = _best_order(self.whole, base, {node: table[0] for node, table in spans.items()})
        blocks: dict[Away, list[int]] = {}
        for node, start, stop in stages:
            for block in self._chosen(node, (start, stop), base, others, spans[node][1]) if not fractions else ():
                blocks.setdefault(self.leaves[node][block], []).append(block)
        found = tuple(replace(away, blocks=tuple(sorted(chosen))) for away, chosen in blocks.items())
        need, room = self._need(in_flight), self.whole.capacity_bytes.copy()
        for node, start, stop in stages:
            room[node] -= need[stop] - need[start] if node in self.homes.values() else 0.0
        for away in found:
            room[self.homes[away.home]] -= self.freed[list(away.blocks)].sum()
        return Found(cost, found, bool((room[list(self.homes.values())] >= 0).all()))

    def _costs(self, weigh: Weigh) -> tuple[Additive, dict[int, Additive]]:
        """A cost of blocks in one piece, and on each card with all parts away that can be."""
        known = {id(tables): weigh.of(tables) for tables in self.apart.values()}
        return weigh.of(self.whole), {card: known[id(tables)] for card, tables in self.apart.items()}

    def _nodes(self) -> list[int]:
        """All nodes, or of many the cards and those with most memory."""
        others = [k for k in range(self.whole.n_nodes) if k not in self.apart]
        others.sort(key=lambda k: -self.whole.capacity_bytes[k])
        return [*self.apart, *others][:MOST_NODES]

    def _need(self, in_flight: int) -> FloatArray:
        need = self.whole.weight_bytes + in_flight * self.whole.kv_bytes
        return np.concatenate([[0.0], need.cumsum()])

    def _kinds(self, node: int, base: Additive, others: Mapping[int, Additive]) -> list[KindOfPart]:
        """Kinds of parts that a card can leave: bytes, added cost, which blocks; the least cost per byte first."""
        added = np.diff(others[node].stage[node] - base.stage[node])
        kinds: dict[tuple[str, str], list[int]] = {}
        for block in sorted(self.leaves[node]):
            kinds.setdefault((f"{self.freed[block]:.12g}", f"{added[block]:.12g}"), []).append(block)
        found = []
        for members in kinds.values():
            mask = np.zeros(len(added), dtype=bool)
            mask[members] = True
            found.append((float(self.freed[members[0]]), float(added[members].mean()), mask))
        return sorted(found, key=lambda kind: kind[1] / max(kind[0], 1e-9))

    def _spans(
        self, node: int, costs: tuple[Additive, dict[int, Additive]], in_flight: int, fractions: bool, sharing: str
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Least cost (L + 1, L + 1) of a run by start and stop, and how many parts of each kind leave for it."""
        base, others = costs
        stage, need = base.stage[node], self._need(in_flight)
        cost = stage[None, :] - stage[:, None]
        lack = need[None, :] - need[:, None] - float(self.whole.capacity_bytes[node]) * (1 + 1e-12) - 1e-6
        refused = np.concatenate([[0], (~self.whole.allowed[node]).cumsum()])
        closed = (refused[None, :] > refused[:, None]) | np.tri(len(need), dtype=bool)
        kinds = self._kinds(node, base, others) if node in others else []
        most = [between(mask) for _, _, mask in kinds]
        sizes, added = [size for size, _, _ in kinds], [cost for _, cost, _ in kinds]
        room = self._room(node, sharing) if kinds and min(added) >= 0 else np.inf
        counts = cover(lack, sizes, added, most, room=room, fractions=fractions)
        freed = np.zeros_like(lack)
        for size, price, count in zip(sizes, added, counts, strict=True):
            cost = cost + count * price
            freed = freed + count * size
        return np.where(closed | (lack - freed > 1e-3) | (freed > room), np.inf, cost), counts

    def _room(self, card: int, sharing: str) -> float:
        """Bytes that parts of one card may take in main memory."""
        home = next(iter(self.leaves[card].values())).home
        sharers = [other for other, leaves in self.leaves.items() if next(iter(leaves.values())).home == home]
        room = float(self.whole.capacity_bytes[self.homes[home]]) * (1 + 1e-12) + 1e-6
        return room / len(sharers) if sharing == "even" else room

    def _chosen(
        self,
        node: int,
        run: tuple[int, int],
        base: Additive,
        others: Mapping[int, Additive],
        counts: Sequence[FloatArray],
    ) -> list[int]:
        """The blocks of a run whose part leaves: the first ones of each kind."""
        kinds = self._kinds(node, base, others) if node in others else []
        found: list[int] = []
        for (_, _, mask), count in zip(kinds, counts, strict=True):
            here = [b for b in range(*run) if mask[b]]
            found += here[: round(float(count[run]))]
        return found


def _best_order(
    tables: CostTables, cost: Additive, spans: dict[int, FloatArray]
) -> tuple[float, list[tuple[int, int, int]]]:
    """The cheapest chain of runs, each node at most once: its cost, and its stages (node, start, stop)."""
    nodes, last, client = list(spans), tables.n_blocks, tables.client
    cuts = tables.cut_allowed
    begin = {k: _hop(tables, cost, client, node, 0) + spans[node][0] + cost.fixed[node] for k, node in enumerate(nodes)}
    reached: dict[tuple[int, int], FloatArray] = {(1 << k, k): row for k, row in begin.items()}
    came: dict[tuple[int, int, int], tuple[int, int]] = {}
    for mask in range(1, 1 << len(nodes)):
        for k, node in enumerate(nodes):
            if not mask >> k & 1 or mask == 1 << k:
                continue
            row = np.full(last + 1, np.inf)
            best_from = np.full((last + 1, 2), -1)
            for j, before in enumerate(nodes):
                value = reached.get((mask ^ 1 << k, j))
                if value is None:
                    continue
                hops = np.array([_hop(tables, cost, before, node, b) for b in range(last + 1)])
                table = np.where(cuts, value + hops, np.inf)[:, None] + spans[node] + cost.fixed[node]
                starts = table.argmin(axis=0)
                values = table[starts, np.arange(last + 1)]
                better = values < row
                row = np.where(better, values, row)
                best_from[better] = np.stack([np.full(last + 1, j), starts], axis=1)[better]
            reached[mask, k] = row
            for b in np.flatnonzero(np.isfinite(row)):
                came[mask, k, int(b)] = int(best_from[b, 0]), int(best_from[b, 1])
    ends = {
        (mask, k): float(row[last] + _hop(tables, cost, nodes[k], client, last))
        for (mask, k), row in reached.items()
        if mask.bit_count() <= tables.max_nodes
    }
    if not ends:
        return np.inf, []
    mask, k = min(ends, key=lambda key: ends[key])
    total, stop = ends[mask, k], last
    if not np.isfinite(total):
        return np.inf, []
    stages: list[tuple[int, int, int]] = []
    while True:
        j, start = came.get((mask, k, stop), (-1, 0))
        stages.append((nodes[k], start, stop))
        if j < 0:
            return total, stages[::-1]
        mask, k, stop = mask ^ 1 << k, j, start


def _hop(tables: CostTables, cost: Additive, source: int, target: int, cut: int) -> float:
    bandwidth = tables.bandwidth_bytes_per_s[source, target]
    if bandwidth <= 0:
        return float("inf")
    return float(cost.latency * tables.latency_s[source, target] + cost.volume[cut] / bandwidth)


def words(requests: Sequence[Request]) -> str:
    """The parts that may lie apart in some of the questions."""
    known = [{away.part for away in request.away} for request in requests]
    parts = sorted(set().union(*known), key=PARTS.index)
    joint = any(CACHE in one and len(one) > 1 for one in known)
    told = f"{' or '.join(parts[:-1])} or cache or both" if joint else " or ".join(parts)
    return f"{told} in main memory" if parts else ""
