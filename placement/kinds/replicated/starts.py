"""Constructive replicated placements, from which every solver starts."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import TYPE_CHECKING

import numpy as np

from objectives.replicated.node_kinds import regions
from objectives.replicated.tables import FloatArray, IntArray, ReplicatedTables

from .kernels.stages import decode_stages
from .solvers.yardsticks import EqualStages, Petals, Separate

if TYPE_CHECKING:
    from placement.search.solver import Solver

    from .problem import ReplicatedProblem

MOST_COUNTS = 24
SMALL = 200
MOST_ORDERS, REGION_COUNTS = 24, 8  # orders of regions, and numbers of stages for each
FEW = 6  # regions of which all orders are looked at


def staged(problem: ReplicatedProblem, stage: IntArray, count: int) -> IntArray | None:
    """Genome of an ordered partition (stage of each node, -1: idle), its stages sized for the best flow."""
    genome = np.zeros(problem.genome_size, dtype=np.int64)
    return genome if decode_stages(stage.copy(), count, problem.data, problem.data.rate, genome) else None


def balanced(problem: ReplicatedProblem, count: int) -> IntArray | None:
    """Deal nodes, the fastest first, each to the stage that is slowest so far; equal numbers of blocks at first."""
    stage = np.zeros(problem.tables.n_nodes, dtype=np.int64)
    deal(problem, stage, np.arange(len(stage)), 0, count, count)
    return staged(problem, stage, count)


def speeds(problem: ReplicatedProblem, of: int) -> FloatArray:
    """Tokens/s of each node with as many blocks as a stage has in the mean, of `of` stages."""
    tables = problem.tables
    size = min(-(-tables.n_blocks // of), tables.rate.shape[1])
    speed: FloatArray = tables.rate[:, size - 1]
    return speed


def deal(problem: ReplicatedProblem, stage: IntArray, nodes: IntArray, first: int, count: int, of: int) -> None:
    """Deal some nodes to `count` stages from `first` on, of `of` stages in all; these hold no others so far."""
    deal_to(problem, stage, nodes, first, np.zeros(count), of)


def deal_to(
    problem: ReplicatedProblem, stage: IntArray, nodes: IntArray, first: int, totals: FloatArray, of: int
) -> None:
    """Deal some nodes, the fastest first, each to the slowest stage so far; `totals` are the stages' tokens/s."""
    tables, speed = problem.tables, speeds(problem, of)
    # Nodes that cannot hold so many blocks go last, to stages that the sizing may shrink.
    order = nodes[np.lexsort((-tables.rate[nodes, 0], -speed[nodes]))]
    for node in order:
        slowest = int(totals.argmin())
        stage[node] = first + slowest
        totals[slowest] += max(float(speed[node]), 1e-9)


def by_rules(problem: ReplicatedProblem, count: int) -> IntArray | None:
    """Balanced stages of no more nodes than may be used, pinned ones in the stage where their block should be."""
    tables, speed = problem.tables, speeds(problem, count)
    wanted = dict(tables.must.tolist())
    others = [int(node) for node in np.lexsort((-tables.rate[:, 0], -speed)) if node not in wanted]
    chosen = [*wanted, *others][: tables.max_nodes or tables.n_nodes]
    stage, totals = np.full(tables.n_nodes, -1, dtype=np.int64), np.zeros(count)
    for node in chosen:
        if (block := wanted.get(node, -1)) >= 0:
            stage[node] = min(count - 1, block * count // tables.n_blocks)
            totals[stage[node]] += speed[node]
    rest = np.array([node for node in chosen if stage[node] < 0], dtype=np.int64)
    deal_to(problem, stage, rest, 0, totals, count)
    return staged(problem, stage, count)


def short_orders(tables: ReplicatedTables, region: IntArray) -> list[tuple[int, ...]]:
    """Orders of regions by the latency of the way from the client through all of them and back, the shortest first.

    Of more than `FEW` regions only ways that go on to the nearest one next.
    """
    number, client = int(region.max()) + 1, tables.client
    ends = [np.flatnonzero(region == r) for r in range(number)] + [np.array([client])]
    far = np.array([[tables.latency_s[np.ix_(a, b)].mean() for b in ends] for a in ends])

    def nearest_next(first: int) -> tuple[int, ...]:
        order = [first]
        while len(order) < number:
            order.append(min(set(range(number)) - set(order), key=lambda r: (far[order[-1], r], r)))
        return tuple(order)

    orders = list(permutations(range(number))) if number <= FEW else [nearest_next(r) for r in range(number)]
    ways = {order: sum(far[a, b] for a, b in pairwise((number, *order, number))) for order in orders}
    return sorted(orders, key=lambda order: (ways[order], order))[:MOST_ORDERS]


def by_regions(problem: ReplicatedProblem, counts: IntArray) -> list[IntArray]:
    """Placements whose chains pass one region after the other, in many orders; stages by what a region can compute."""
    region = regions(problem.tables)
    number = int(region.max(initial=0)) + 1
    if number < 2:
        return []
    least, most = max(number, int(counts[0])), int(counts[-1])
    some = np.unique(np.geomspace(least, max(least, most), REGION_COUNTS).round().astype(np.int64))
    found = []
    for order in short_orders(problem.tables, region):
        for count in some.tolist():
            size = min(-(-problem.tables.n_blocks // count), problem.tables.rate.shape[1])
            speed = np.array([problem.tables.rate[region == r, size - 1].sum() for r in order])
            ends = np.cumsum(np.maximum(speed, 1e-9)) / max(float(speed.sum()), 1e-9) * (count - number)
            stops = np.minimum(ends.round().astype(np.int64), count - number) + np.arange(1, number + 1)
            stage, first = np.zeros(len(region), dtype=np.int64), 0
            for r, stop in zip(order, stops.tolist(), strict=True):
                deal(problem, stage, np.flatnonzero(region == r), first, stop - first, count)
                first = stop
            found.append(staged(problem, stage, first))
    return [row for row in found if row is not None]


def chain(problem: ReplicatedProblem) -> IntArray | None:
    """One node per stage: the largest F with sum over nodes of max{k : rate(k) >= F} >= L."""
    n = problem.tables.n_nodes
    return staged(problem, np.arange(n), n) if n <= min(problem.tables.n_blocks, problem.tables.max_stages) else None


def constructive(problem: ReplicatedProblem) -> IntArray:
    """Balanced stages of many counts, those that rules ask for, and the chain, the best first."""
    tables = problem.tables
    least = max(1, -(-tables.n_blocks // int(tables.rate.shape[1])))
    most = min(tables.n_nodes, tables.n_blocks, tables.max_stages)
    counts = np.unique(np.geomspace(least, max(least, most), MOST_COUNTS).round().astype(np.int64))
    rows = [balanced(problem, int(count)) for count in counts] + [chain(problem), *yardsticks(problem)]
    rows += by_regions(problem, counts) if problem.data.ordered else []
    rows += [by_rules(problem, int(count)) for count in counts] if tables.max_nodes or len(tables.must) else []
    found = [row for row in rows if row is not None]
    if not found:
        found = [problem.random(np.random.default_rng(0), 1)[0]]
    genomes = np.unique(np.array(found), axis=0)
    costs, broken = problem.evaluate(genomes)
    return genomes[np.lexsort((costs, broken))]


def yardsticks(problem: ReplicatedProblem) -> list[IntArray]:
    """What swarms do today, so that no solver is worse; Petals' joining only on clusters where it is quick."""
    makers: list[Solver] = [EqualStages(), Separate()]
    if problem.tables.n_nodes <= SMALL:
        makers.append(Petals(rebalance=False))
    none = np.zeros((0, problem.genome_size), dtype=np.int64)
    return [next(maker.search(problem, np.random.default_rng(0), none)).genomes[0] for maker in makers]
