"""Rivals that search and prove: held against exhaustive search on tiny problems."""

from __future__ import annotations

import numpy as np
import pytest

from objectives.combine import Objective
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.pipeline.solvers.exhaustive import Exhaustive
from placement.search.loop import Outcome, run
from placement.search.solver import NotApplicableError
from placement.search.stop import first, max_evaluations, time_limit
from tests.objectives.pipeline.cases import KINDS, random_objective, tables, tiny


def solve(problem: PipelineProblem, solver: object, evaluations: int = 10**9) -> Outcome:
    none = np.empty((0, problem.genome_size), dtype=np.int64)
    stop = first(time_limit(60), max_evaluations(evaluations))
    return run(problem, solver, rng=np.random.default_rng(0), start=none, stop=stop)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("block", range(3))
def test_cp_sat_is_exhaustive(block: int) -> None:
    """On random contiguous instances with every kind of constraint: the same optimum, and a bound that meets it."""
    pytest.importorskip("ortools")
    from benchmarks.rivals.cpsat import CpSat

    feasible = 0
    for seed in range(8 * block, 8 * block + 8):
        rng = np.random.default_rng(seed)
        instance = tables(rng, 3, 5, 4, kinds={KINDS[seed % len(KINDS)], "uneven"}, room=2.0) if seed % 2 else tiny(rng)
        plain = PipelineProblem(instance, Objective())
        values, broken = plain.terms(plain.random(rng, 20))
        problem = PipelineProblem(instance, random_objective(rng, values[broken <= broken.min()], ["decode_rate"]))
        wanted, found = solve(problem, Exhaustive()), solve(problem, CpSat())
        if wanted.score.violation > 0:
            assert found.score.violation > 0 or not found.spans
            continue
        feasible += 1
        assert found.score.violation == 0, seed
        assert found.score.cost == pytest.approx(wanted.score.cost, rel=1e-6), seed
        assert found.bound <= wanted.score.cost * (1 + 1e-9), seed
        if instance.contiguous:
            assert found.bound >= wanted.score.cost * (1 - 1e-5), seed
    assert feasible >= 4


def test_cp_sat_says_what_it_does_not_cover() -> None:
    from benchmarks.rivals.cpsat import CpSat

    instance = tables(np.random.default_rng(1), 3, 5, 8)
    front = PipelineProblem(instance, Objective.of(["latency", "price"]))
    with pytest.raises(NotApplicableError, match="single"):
        solve(front, CpSat())
    with pytest.raises(NotApplicableError, match="pairs"):
        solve(PipelineProblem(instance, Objective()), CpSat(most_arcs=3))


def test_nsga2_of_pymoo() -> None:
    """One objective: as good as exhaustive search on a tiny problem. Two: a front of plans none of which is beaten."""
    pytest.importorskip("pymoo")
    from benchmarks.rivals.keys import PymooNSGA2

    instance = tables(np.random.default_rng(4), 3, 5, room=2.5)
    problem = PipelineProblem(instance, Objective())
    best = solve(problem, Exhaustive())
    assert solve(problem, PymooNSGA2(), 4000).score.cost == pytest.approx(best.score.cost, rel=1e-9)
    front = solve(PipelineProblem(instance, Objective.of(["latency", "price"])), PymooNSGA2(), 3000).pareto
    assert front
    values = np.array([point.values for point in front])
    for row in values:
        assert not ((values <= row).all(axis=1) & (values < row).any(axis=1)).any()
