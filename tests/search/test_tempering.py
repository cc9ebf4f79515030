"""Replica exchange: what the walks hold is what they say it costs, and the exchanges lose nothing."""

from __future__ import annotations

import numpy as np
import pytest

from objectives.combine import Objective
from placement.kinds.pipeline.problem import PipelineProblem
from placement.search.kernels.loops import temper
from placement.search.solvers.tempering import Tempering
from tests.objectives.pipeline.cases import tables

PROBLEM = PipelineProblem(tables(np.random.default_rng(3), 4, 8, kinds={"memory"}), Objective())


def walked(sweeps: int, temperatures: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, their costs and the best after some sweeps of three steps."""
    rng = np.random.default_rng(seed)
    states = PROBLEM.random(rng, len(temperatures))
    costs, violations = PROBLEM.evaluate(states)
    best = states[0].copy()
    temper(states, costs, violations, best, PROBLEM.data, rng, sweeps, 3, np.array(temperatures), 3.0)
    found, broken = PROBLEM.evaluate(states)
    np.testing.assert_array_equal(costs, found)
    np.testing.assert_array_equal(violations, broken)
    return states, costs, best


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_costs_belong_to_the_states(seed: int) -> None:
    """After every number of sweeps, exchanges included; checked inside."""
    for sweeps in (1, 2, 7, 40):
        walked(sweeps, [1e-4, 1e-3, 1e-2], seed)


def test_the_best_is_at_least_as_good_as_every_state() -> None:
    """Of the states at the end, at temperatures where they move on."""
    states, _, best = walked(200, [1e-3, 1e-2, 1.0])
    costs, broken = PROBLEM.evaluate(np.concatenate([best[None, :], states]))
    assert (broken[0], costs[0]) <= min(zip(broken[1:], costs[1:], strict=True))


def test_good_states_get_cold() -> None:
    """With no moves between them, exchanges sort the walks where temperatures are far apart."""
    rng = np.random.default_rng(0)
    drawn = np.unique(PROBLEM.random(rng, 400), axis=0)
    costs, violations = PROBLEM.evaluate(drawn)
    worst_first = [k for k in np.argsort(costs)[::-1] if violations[k] == 0][:6]
    states, costs, violations = drawn[worst_first].copy(), costs[worst_first], violations[worst_first]
    kept, least = sorted(map(bytes, states)), costs.min()
    temper(states, costs, violations, states[0].copy(), PROBLEM.data, rng, 50, 0, np.geomspace(1e-9, 1e3, 6), 3.0)
    assert sorted(map(bytes, states)) == kept
    assert len(kept) == 6
    assert costs[0] == least


def test_more_walks_than_starts() -> None:
    """Starts are dealt out again; one walk alone is a walk too."""
    for replicas in (1, 9):
        found = next(Tempering(replicas=replicas).search(PROBLEM, np.random.default_rng(0), PROBLEM.starts()[:2]))
        assert found.evaluations > 0
        assert found.genomes.shape == (1, PROBLEM.genome_size)
