"""Which blocks leave a part in main memory: counts per stage, by dynamic programming over stages.

A stage on a card must free what it lacks. Parts that are alike free the same bytes and cost the same seconds, so how
many of them leave is all that counts; of unlike ones those with the least seconds per byte leave first. The program
goes over the stages in any order of nodes, as M. Held and R. M. Karp's for the travelling salesman does over cities
(J. SIAM 10(1), 1962, doi:10.1137/0110015); fractions of the cheapest parts give a bound on every choice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from objectives.combine import Objective
from objectives.pipeline.additive import ADDITIVE, Additive, step_cost, weighted_cost
from objectives.pipeline.tables import CostTables
from placement.costs.build import build_tables
from placement.costs.parts import can_leave
from placement.question.request import Away, Request

FloatArray = npt.NDArray[np.float64]
MOST_NODES = 7  # of which every order is tried
MOST_TRIED = 12
SLACK = 5e-10  # of a bound, for rounding
PARTS = ("experts", "ffn", "cache")
EXACT_KINDS = 2  # of parts, for which counts are exact


@dataclass(frozen=True, slots=True)
class Proposed:
    """A question some of whose blocks lie in parts; `least` bounds the cost of all questions like it."""

    request: Request
    least: float


def part_variants(request: Request, kinds: Collection[str] = PARTS) -> Iterator[Proposed]:
    """Questions in which cards leave parts of their blocks, of some kinds, in the main memory of their host."""
    nodes = request.cluster.nodes
    for home in nodes:
        if not (home.main_memory and home.host) or home.name in request.constraints.exclude:
            continue
        cards = tuple(node for node in nodes if node.host == home.host and node.offload and node is not home)
        for part in dict.fromkeys(part for card in cards for part in card.offload if part in kinds):
            mine = tuple(card.name for card in cards if part in card.offload)
            linked = all(linked_both(request, name, home.name) for name in mine)
            blocks = tuple(b for b, block in enumerate(request.model.blocks) if can_leave(block, part))
            if linked and blocks:
                yield from _choices(request, Away(part, blocks, home.name, mine))


def linked_both(request: Request, card: str, home: str) -> bool:
    """Whether two nodes reach each other directly."""
    cluster = request.cluster
    pair = cluster.index(card), cluster.index(home)
    return bool(cluster.bandwidth_bytes_per_s[pair] > 0 and cluster.bandwidth_bytes_per_s[pair[::-1]] > 0)


def _choices(request: Request, everything: Away) -> Iterator[Proposed]:
    """The choices of blocks worth a search, each once."""
    whole = build_tables(replace(request, away=None))
    apart = build_tables(replace(request, away=everything))
    space = Space(request, whole, apart, everything)
    room = float(whole.capacity_bytes[request.cluster.index(everything.home)])
    if everything.part == "cache":
        if room > float(apart.capacity_bytes[request.cluster.index(everything.home)]) >= 0:
            yield Proposed(replace(request, away=everything), np.inf)  # of all layers, or of none
        return
    least = space.bound(request.objective)
    tried: dict[tuple[int, ...], None] = {}
    for cost, in_flight in _wanted(request.objective, whole):
        found = space.best(cost, in_flight, fractions=False)
        if found.blocks:
            tried.setdefault(found.blocks)
    tried.setdefault(everything.blocks)
    for blocks in list(tried)[:MOST_TRIED]:
        away = replace(everything, blocks=blocks)
        held = sum(space.freed[b] for b in blocks)
        if held <= room:
            yield Proposed(replace(request, away=away), least)


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
    """The best choice: its cost, and the blocks whose part leaves."""

    cost: float
    blocks: tuple[int, ...]


class Space:
    """All choices of blocks of one question.

    Parameters
    ----------
    request : Request
    whole, apart : CostTables
        With every block in one piece, and with every part away that can be.
    everything : Away
    """

    def __init__(self, request: Request, whole: CostTables, apart: CostTables, everything: Away) -> None:
        self.whole, self.apart, self.everything = whole, apart, everything
        self.cards = [request.cluster.index(name) for name in everything.cards]
        self.freed = np.maximum(whole.weight_bytes - apart.weight_bytes, 0.0)
        self.may = np.zeros(whole.n_blocks, dtype=bool)
        self.may[list(everything.blocks)] = True

    def bound(self, objective: Objective) -> float:
        """A bound on the cost of every choice; 0 where the objective is no sum over stages and hops."""
        if not all(name in ADDITIVE for name in objective.weights) or self.whole.n_nodes > MOST_NODES:
            return 0.0
        weigh = Weigh(dict(objective.weights))
        base, other = weigh.of(self.whole), weigh.of(self.apart)
        exact = all(len(self._kinds(card, base, other)) <= EXACT_KINDS for card in self.cards)
        return self.best(weigh, 1, fractions=not exact).cost * (1 - SLACK)

    def best(self, weigh: Weigh, in_flight: int, *, fractions: bool) -> Found:
        """The least cost over orders of nodes, cuts and choices; with fractions of parts it is a bound."""
        base, other = weigh.of(self.whole), weigh.of(self.apart)
        nodes = self._nodes()
        spans = {node: self._spans(node, base, other, in_flight, fractions=fractions) for node in nodes}
        cost, stages = _best_order(self.whole, base, {node: table[0] for node, table in spans.items()})
        blocks = (
            self._chosen(node, start, stop, base, other, in_flight)
            for node, start, stop in stages
            if node in self.cards and not fractions
        )
        return Found(cost, tuple(sorted(block for chosen in blocks for block in chosen)))

    def _nodes(self) -> list[int]:
        """All nodes, or of many the cards and those with most memory."""
        others = [k for k in range(self.whole.n_nodes) if k not in self.cards]
        others.sort(key=lambda k: -self.whole.capacity_bytes[k])
        return [*self.cards, *others][:MOST_NODES]

    def _need(self, in_flight: int) -> FloatArray:
        need = self.whole.weight_bytes + in_flight * self.whole.kv_bytes
        return np.concatenate([[0.0], need.cumsum()])

    def _kinds(self, node: int, base: Additive, other: Additive) -> list[tuple[float, float, npt.NDArray[np.bool_]]]:
        """Kinds of parts that a card can leave: bytes, added cost, which blocks; the least cost per byte first."""
        added = np.diff(other.stage[node] - base.stage[node])
        kinds: dict[tuple[str, str], list[int]] = {}
        for block in np.flatnonzero(self.may):
            kinds.setdefault((f"{self.freed[block]:.12g}", f"{added[block]:.12g}"), []).append(int(block))
        found = []
        for members in kinds.values():
            mask = np.zeros(len(added), dtype=bool)
            mask[members] = True
            found.append((float(self.freed[members[0]]), float(added[members].mean()), mask))
        return sorted(found, key=lambda kind: kind[1] / max(kind[0], 1e-9))

    def _spans(
        self, node: int, base: Additive, other: Additive, in_flight: int, *, fractions: bool
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Least cost (L + 1, L + 1) of a run by start and stop, and how many parts of each kind leave for it."""
        stage, need = base.stage[node], self._need(in_flight)
        cost = stage[None, :] - stage[:, None]
        lack = need[None, :] - need[:, None] - float(self.whole.capacity_bytes[node]) * (1 + 1e-12) - 1e-6
        refused = np.concatenate([[0], (~self.whole.allowed[node]).cumsum()])
        closed = (refused[None, :] > refused[:, None]) | np.tri(len(need), dtype=bool)
        kinds = self._kinds(node, base, other) if node in self.cards else []
        most = [_between(mask) for _, _, mask in kinds]
        sizes, added = [size for size, _, _ in kinds], [cost for _, cost, _ in kinds]
        counts = _cover(lack, sizes, added, most, fractions=fractions)
        for size, price, count in zip(sizes, added, counts, strict=True):
            cost = cost + count * price
            lack = lack - count * size
        return np.where(closed | (lack > 1e-3), np.inf, cost), counts

    def _chosen(self, node: int, start: int, stop: int, base: Additive, other: Additive, in_flight: int) -> list[int]:
        """The blocks of a run whose part leaves: the first ones of each kind."""
        kinds = self._kinds(node, base, other)
        _, counts = self._spans(node, base, other, in_flight, fractions=False)
        found: list[int] = []
        for (_, _, mask), count in zip(kinds, counts, strict=True):
            here = [b for b in range(start, stop) if mask[b]]
            found += here[: round(float(count[start, stop]))]
        return found


def _between(mask: npt.NDArray[np.bool_]) -> FloatArray:
    """How many of the blocks in a mask a run has, by start and stop."""
    before = np.concatenate([[0], mask.cumsum()])
    found: FloatArray = np.maximum(before[None, :] - before[:, None], 0).astype(np.float64)
    return found


def _cover(
    lack: FloatArray, sizes: Sequence[float], added: Sequence[float], most: Sequence[FloatArray], *, fractions: bool
) -> list[FloatArray]:
    """How many parts of each kind leave so that what lacks is freed, at the least added cost.

    Exact for whole numbers of one kind or two; of more, kind by kind in the order given. Parts that make a block faster
    elsewhere all leave.
    """
    if len(sizes) == 2 and not fractions and min(added) >= 0:
        return _cover_two(lack, sizes, added, most)
    counts = []
    for size, price, there in zip(sizes, added, most, strict=True):
        number = np.clip(lack / size, 0.0, there)
        number = number if fractions else np.minimum(np.ceil(number - 1e-9), there)
        number = np.where(price < 0, there, number)
        lack = lack - number * size
        counts.append(number)
    return counts


def _cover_two(
    lack: FloatArray, sizes: Sequence[float], added: Sequence[float], most: Sequence[FloatArray]
) -> list[FloatArray]:
    """The cheapest cover by whole parts of two kinds: every number of the first, as few as needed of the second."""
    best = np.full(lack.shape, np.inf)
    counts = [most[0].copy(), most[1].copy()]
    for first in range(int(most[0].max()) + 1):
        second = np.maximum(np.ceil((lack - first * sizes[0]) / sizes[1] - 1e-9), 0.0)
        price = np.where((first <= most[0]) & (second <= most[1]), first * added[0] + second * added[1], np.inf)
        better = price < best
        best = np.where(better, price, best)
        counts = [np.where(better, first, counts[0]), np.where(better, second, counts[1])]
    return counts


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
    parts = dict.fromkeys(request.away.part for request in requests if request.away is not None)
    return f"{' or '.join(parts)} in main memory" if parts else ""
