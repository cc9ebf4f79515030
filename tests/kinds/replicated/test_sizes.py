"""Sizes of stages: as good as any for what they are made for, and moves make them for the flow or for the caches."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest

from objectives.combine import REPLICATED
from objectives.replicated.tables import FloatArray, IntArray
from placement.kinds.replicated.kernels.stages import decode_stages, read_stages
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.question.objective import objective_of
from placement.readers.helix import read_helix
from placement.search.kernels.loops import vary

from ...objectives.replicated.cases import make_case

COUNT = 3


def problem_of(seed: int, objective: str) -> ReplicatedProblem:
    """Nine nodes of one region, whose stages no order matters to."""
    tables = read_helix(make_case(seed, nodes=9, blocks=12), partial=False).tables
    tables = replace(tables, bandwidth_bytes_per_s=np.full((10, 10), 1e10))
    return ReplicatedProblem(tables, objective_of(objective, REPLICATED), unaligned=0.0)


def sized(problem: ReplicatedProblem, stage: IntArray, worth: FloatArray) -> IntArray | None:
    """Genome of a partition, its stages sized for `worth`; None where they cannot hold all blocks."""
    genome = np.zeros(problem.genome_size, dtype=np.int64)
    return genome if decode_stages(stage.copy(), int(stage.max()) + 1, problem.data, worth, genome) else None


def carried(problem: ReplicatedProblem, stage: IntArray, sizes: list[int], worth: FloatArray) -> float:
    """What the scarcest stage carries at these sizes."""
    kind = problem.data.kind
    wide = np.hstack([worth, np.zeros((len(worth), problem.tables.n_blocks))])
    return min(sum(float(wide[kind[i], size - 1]) for i in np.flatnonzero(stage == s)) for s, size in enumerate(sizes))


@pytest.mark.parametrize("seed", range(4))
def test_sizes_are_the_best_of_all(seed: int) -> None:
    """For tokens/s and for requests in flight: no other sizes of the same stages let the scarcest one carry more."""
    problem, rng = problem_of(seed, "served"), np.random.default_rng(seed)
    blocks = problem.tables.n_blocks
    for worth in (problem.data.rate, problem.data.kv_room):
        for _ in range(10):
            stage = rng.permutation(np.arange(9) % COUNT)
            cuts = [(0, *inner, blocks) for inner in combinations(range(1, blocks), COUNT - 1)]
            best = max(carried(problem, stage, [b - a for a, b in pairwise(cut)], worth) for cut in cuts)
            genome = sized(problem, stage, worth)
            assert (genome is not None) == (best > 0)
            if genome is None:
                continue
            starts = sorted(set(genome[:9].tolist()) | {0})
            sizes = [b - a for a, b in pairwise([*starts, blocks])]
            assert carried(problem, stage, sizes, worth) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize(("objective", "both"), [("served", True), ("flow", False)])
def test_moves_size_for_what_counts(objective: str, both: bool) -> None:
    """One move on stages sizes them for the flow or, where requests in flight count, for the caches."""
    problem = problem_of(0, objective)
    rows = problem.random(np.random.default_rng(1), 300)
    rows = rows[problem.evaluate(rows)[1] == 0]
    moved = np.empty_like(rows)
    vary(rows, moved, problem.data, np.random.default_rng(2), 0.0, 1)
    flow, caches = 0, 0
    for row in moved[(moved != rows).any(axis=1)]:
        stage = np.zeros(9, dtype=np.int64)
        read_stages(row, problem.data, stage)
        ways = [sized(problem, stage, worth) for worth in (problem.data.rate, problem.data.kv_room)]
        as_flow, as_caches = (way is not None and bool((way == row).all()) for way in ways)
        flow += as_flow and not as_caches
        caches += as_caches and not as_flow
    assert flow > 10
    assert (caches > 10) == both
