"""Evaluations and moves a second of the compiled kernels, by size of the problem (pytest-benchmark)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from placement.search.kernels.loops import anneal

from .problems import SIZES, problem

BATCH, MOVES = 256, 5_000


@pytest.mark.parametrize(("nodes", "blocks"), SIZES[:3], ids=str)
@pytest.mark.parametrize("objective", ["latency", "decode_rate"])
def test_evaluate(benchmark: Any, objective: str, nodes: int, blocks: int) -> None:
    """Whole evaluations of the constructive placements."""
    made = problem(nodes, blocks, objective)
    rows = np.resize(made.starts(), (BATCH, made.genome_size))
    benchmark.extra_info["per_round"] = BATCH
    benchmark.pedantic(made.evaluate, (rows,), rounds=10, iterations=1, warmup_rounds=1)


@pytest.mark.parametrize(("nodes", "blocks"), SIZES[:3], ids=str)
@pytest.mark.parametrize("objective", ["latency", "decode_rate"])
def test_moves(benchmark: Any, objective: str, nodes: int, blocks: int) -> None:
    """Moves of simulated annealing, each scored."""
    made = problem(nodes, blocks, objective)
    genome, rng = made.starts()[0].copy(), np.random.default_rng(0)
    best = genome.copy()
    anneal(genome, best, made.data, rng, 10, 1e-3, 1e-3, 3.0)
    benchmark.extra_info["per_round"] = MOVES
    benchmark.pedantic(
        lambda: anneal(genome, best, made.data, rng, MOVES, 1e-3, 1e-3, 3.0), rounds=5, iterations=1, warmup_rounds=1
    )


@pytest.mark.parametrize(("nodes", "blocks"), SIZES[:3], ids=str)
def test_lower_bound(benchmark: Any, nodes: int, blocks: int) -> None:
    """The default bound."""
    made = problem(nodes, blocks)
    benchmark.pedantic(made.lower_bound, rounds=1, iterations=1, warmup_rounds=1)
