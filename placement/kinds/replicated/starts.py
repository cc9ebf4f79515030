"""Constructive replicated placements, from which every solver starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from objectives.replicated.tables import IntArray

from .kernels.stages import decode_stages
from .solvers.yardsticks import EqualStages, Petals, Separate

if TYPE_CHECKING:
    from placement.search.solver import Solver

    from .problem import ReplicatedProblem

MOST_COUNTS = 24
SMALL = 200


def staged(problem: ReplicatedProblem, stage: IntArray, count: int) -> IntArray | None:
    """Genome of an ordered partition (stage of each node, -1: idle), its stages sized for the best flow."""
    genome = np.zeros(problem.genome_size, dtype=np.int64)
    return genome if decode_stages(stage.copy(), count, problem.data, genome) else None


def balanced(problem: ReplicatedProblem, count: int) -> IntArray | None:
    """Deal nodes, the fastest first, each to the stage that is slowest so far; equal numbers of blocks at first."""
    tables = problem.tables
    size = min(-(-tables.n_blocks // count), tables.rate.shape[1])
    speed = tables.rate[:, size - 1]
    # Nodes that cannot hold so many blocks go last, to stages that the sizing may shrink.
    order = np.lexsort((-tables.rate[:, 0], -speed))
    totals, stage = np.zeros(count), np.zeros(tables.n_nodes, dtype=np.int64)
    for node in order:
        slowest = int(totals.argmin())
        stage[node] = slowest
        totals[slowest] += max(float(speed[node]), 1e-9)
    return staged(problem, stage, count)


def chain(problem: ReplicatedProblem) -> IntArray | None:
    """One node per stage: the largest F with sum over nodes of max{k : rate(k) >= F} >= L."""
    n = problem.tables.n_nodes
    return staged(problem, np.arange(n), n) if n <= min(problem.tables.n_blocks, problem.tables.max_stages) else None


def constructive(problem: ReplicatedProblem) -> IntArray:
    """Balanced stages of many counts and the chain, the best first."""
    tables = problem.tables
    least = max(1, -(-tables.n_blocks // int(tables.rate.shape[1])))
    most = min(tables.n_nodes, tables.n_blocks, tables.max_stages)
    counts = np.unique(np.geomspace(least, max(least, most), MOST_COUNTS).round().astype(np.int64))
    rows = [balanced(problem, int(count)) for count in counts] + [chain(problem), *yardsticks(problem)]
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
