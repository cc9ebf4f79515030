"""Threads may share a problem: each scores as if it were alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from placement.registry import SOLVERS
from placement.search.loop import run
from placement.search.stop import max_evaluations
from placement.testing import EXAMPLES
from tests.sampled import some_quick

THREADS = 4
ROUNDS = 60


@pytest.mark.parametrize("example", ["three nodes", "replicated, flow", "sessions, rate", "routes, latency"])
def test_scores_are_those_of_one_thread(example: str) -> None:
    """Every thread scores genomes of its own, over and over, at the same time as the others."""
    problem = EXAMPLES[example].problem()
    batches = [problem.random(np.random.default_rng(seed), 2_000) for seed in range(THREADS)]
    expected = [problem.evaluate(batch) for batch in batches]
    together = Barrier(THREADS)

    def score(number: int) -> bool:
        together.wait()
        found = (problem.evaluate(batches[number]) for _ in range(ROUNDS))
        return all(np.array_equal(a, b) for pair in found for a, b in zip(pair, expected[number], strict=True))

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(score, range(THREADS)))


@pytest.mark.parametrize("name", some_quick(["genetic", "nsga2"], 1))
def test_searches_side_by_side_are_those_of_one_thread(name: str) -> None:
    """DEAP draws from the global generator of Python; searches in threads do not draw from each other's."""
    problem = EXAMPLES["sessions, rate"].problem()

    def search(seed: int) -> tuple[float, int]:
        solver, rng = SOLVERS[name].make("sessions"), np.random.default_rng(seed)
        stop = max_evaluations(3_000)
        outcome = run(problem, solver, rng=rng, start=problem.starts(), stop=stop, prove=False)
        return outcome.score.cost, outcome.evaluations

    alone = [search(seed) for seed in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(search, range(THREADS))) == alone
