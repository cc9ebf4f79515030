"""Exact answers against all chains of tiny swarms; NSGA-II against exact answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import Objective
from objectives.pareto import dominates, hypervolume, hypervolume_ratio
from objectives.routes.plain import PlainWays
from objectives.routes.swarm import Shape
from objectives.routes.terms import ROUTES
from placement.kinds.routes.problem import RoutesProblem
from placement.kinds.routes.solvers.exact import Exact, planned
from placement.kinds.routes.solvers.portfolio import FRONTS, RoutesPortfolio
from placement.search.loop import Outcome, run
from placement.search.solver import NotApplicableError, Solver
from placement.search.stop import StoppedBy, max_evaluations
from tests.sampled import some_quick

from .swarms import SHAPES, allowed, best_front, drawn, every_value

FRONT_NAMES = (
    ("latency", "throughput"),
    ("latency", "throughput", "price"),
    ("latency", "throughput", "reliability"),
    ("throughput", "price", "reliability"),
    ("price", "latency"),
    ("reliability", "throughput"),
)


def problem(seed: int, names: object, shape: Shape = "star", **options: object) -> RoutesProblem:
    """A tiny swarm with an objective and limits."""
    limits = options.pop("limits", None)
    objective = Objective.of(names, limits, ROUTES)  # type: ignore[arg-type]
    return RoutesProblem(drawn(seed), objective, shape, **options)  # type: ignore[arg-type]


def outcome(asked: RoutesProblem, solver: Solver, evaluations: int = 20_000) -> Outcome:
    """A run from the greedy starts."""
    return run(
        asked,
        solver,
        rng=np.random.default_rng(0),
        start=asked.starts(),
        bound=asked.lower_bound(),
        stop=max_evaluations(evaluations),
    )


def values_of(found: Outcome) -> np.ndarray:
    """The front's minimised values by the first one."""
    return np.array(sorted(point.values for point in found.pareto))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("names", FRONT_NAMES)
@pytest.mark.parametrize("seed", some_quick(range(3), 1))
def test_the_exact_front_is_that_of_all_chains(seed: int, names: tuple[str, ...], shape: Shape) -> None:
    """All chains tried, the same front comes out, and it is said to be whole."""
    asked = problem(seed, names, shape)
    found = outcome(asked, Exact())
    assert values_of(found) == pytest.approx(best_front(every_value(asked.swarm, shape), names))
    assert found.whole_front == 0.0
    assert found.stopped_by is StoppedBy.EXHAUSTED


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "weights",
    [
        {"latency": 1.0},
        {"throughput": 1.0},
        {"price": 1.0},
        {"reliability": 1.0},
        {"latency": 1.0, "price": 0.01},
        {"latency": 1.0, "throughput": 0.3},
        {"latency": 2.0, "reliability": 0.5},
        {"price": 0.02, "throughput": 1.0, "reliability": 3.0},
    ],
)
@pytest.mark.parametrize("limits", [{}, {"throughput": 3.0}, {"latency": 0.35}, {"price": 15.0, "throughput": 2.0}])
def test_the_exact_chain_is_the_best_of_all(
    weights: Mapping[str, float], limits: Mapping[str, float], shape: Shape
) -> None:
    """One objective, mixes and limits: the optimum of all chains with its proof, or the proof that there is none."""
    asked = problem(4, weights, shape, limits=limits)
    try:
        planned(asked.objective)
    except NotApplicableError:
        assert len({*weights, *limits} - {"throughput"}) > 2
        return
    found = outcome(asked, Exact())
    good = allowed(every_value(asked.swarm, shape), asked.objective)
    if not len(good):
        assert found.score.violation > 0
        assert found.bound == np.inf
        return
    assert found.score.violation == 0
    assert found.score.cost == pytest.approx((good @ asked.objective.weight_vector()).min())
    assert found.bound == pytest.approx(found.score.cost)
    assert found.stopped_by is StoppedBy.OPTIMAL


@pytest.mark.parametrize("shape", SHAPES)
def test_limits_leave_part_of_the_front(shape: Shape) -> None:
    """With limits on other terms the front is that of the chains that meet them."""
    asked = problem(2, ("latency", "throughput"), shape, limits={"price": 20.0, "throughput": 2.0})
    good = allowed(every_value(asked.swarm, shape), asked.objective)
    assert len(good) > 0
    assert values_of(outcome(asked, Exact())) == pytest.approx(best_front(good, ("latency", "throughput")))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("third", ["price", "reliability"])
@pytest.mark.parametrize("seed", range(4))
def test_a_coarse_front_covers_the_exact_one(seed: int, third: str, shape: Shape) -> None:
    """Each exact chain has one as fast in tokens/s that is at most the precision above it in both other values."""
    few, objective = drawn(seed, servers=9, blocks=7), Objective.of(("latency", "throughput", third), None, ROUTES)
    exact = values_of(outcome(RoutesProblem(few, objective, shape), Exact()))
    for precision in (0.05, 0.3):
        found = outcome(RoutesProblem(few, objective, shape, precision), Exact())
        coarse, room = values_of(found), np.array([1.0 + precision, 1.0, 1.0 + precision]) * (1 + 1e-12)
        assert all((coarse <= row * room).all(axis=1).any() for row in exact)
        assert len(coarse) <= len(exact)
        assert found.whole_front == pytest.approx(precision)


@pytest.mark.parametrize("shape", some_quick(SHAPES, 0))
def test_nsga2_never_beats_the_exact_front(shape: Shape) -> None:
    """NSGA-II comes near the exact front, and no chain of its own is better than all of it."""
    asked = RoutesProblem(drawn(11, servers=12, blocks=10), shape=shape)
    exact, found = outcome(asked, Exact()), outcome(asked, FRONTS, 6_000)
    assert found.whole_front is None
    for mine in values_of(found):
        assert not any(dominates(mine, point) for point in values_of(exact))
    assert 0.9 <= hypervolume_ratio(values_of(found), values_of(exact)) <= 1.0 + 1e-9


@pytest.mark.parametrize("names", [("latency", "throughput", "price", "reliability"), {"latency": 1.0}])
def test_auto_answers_what_the_exact_front_cannot(names: object) -> None:
    """Three costs that add up are searched for, and the outcome says that nothing is proven and why."""
    asked = problem(5, names, limits=None if isinstance(names, tuple) else {"price": 50.0, "reliability": 0.1})
    with pytest.raises(NotApplicableError, match="at most two of latency, price, reliability"):
        planned(asked.objective)
    found = outcome(asked, RoutesPortfolio(), 6_000)
    assert found.whole_front is None
    good = allowed(every_value(asked.swarm, "star"), asked.objective)
    if isinstance(names, tuple):
        assert found.remark.startswith("searched, not proven: it trades at most two")
        best = best_front(good, names)
        assert not any(dominates(mine, point) for mine in values_of(found) for point in best)
    else:
        assert found.score.cost == pytest.approx(good[:, 0].min())


def test_a_front_with_too_many_labels_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact search says what to do; "auto" searches on."""
    from placement.kinds.routes import front

    monkeypatch.setattr(front, "FIRST_LABELS", 1)
    monkeypatch.setattr(front, "MOST_LABELS", 1)
    asked = problem(0, ("latency", "throughput", "price"), "chain")
    with pytest.raises(NotApplicableError, match="more than 1 chains at one rate; ask for a coarser precision"):
        outcome(asked, Exact())
    assert "coarser precision" in outcome(asked, RoutesPortfolio(), 3000).remark


def test_searches_side_by_side_do_not_disturb_each_other() -> None:
    """Two threads on one problem: kernels keep nothing between calls that another one writes."""
    from concurrent.futures import ThreadPoolExecutor

    asked = RoutesProblem(
        drawn(3, servers=12, blocks=16), Objective.of(("latency", "throughput", "price"), None, ROUTES), "chain"
    )
    alone = values_of(outcome(asked, Exact()))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: values_of(outcome(asked, Exact())), range(8)))
    assert all(np.array_equal(found, alone) for found in together)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), chain=st.booleans())
def test_the_plain_front_is_the_compiled_one(seed: int, chain: bool) -> None:
    """What clients search without compiled code has the same values."""
    asked = RoutesProblem(drawn(seed, servers=8, blocks=9), shape="chain" if chain else "star")
    ways = PlainWays(asked.swarm, asked.shape)
    plain = ways.front()
    compiled = values_of(outcome(asked, Exact()))
    assert np.array([(route.latency_s, 1.0 / route.rate) for route in plain]) == pytest.approx(compiled)
    for route in plain:
        assert ways.seconds(np.array([route.servers])) == pytest.approx(route.latency_s)


def test_hypervolume_by_hand() -> None:
    """Two boxes in the plane, three in space."""
    assert hypervolume([(1, 2), (2, 1), (2, 2)], (3, 3)) == pytest.approx(3.0)
    assert hypervolume([(0, 0, 0)], (2, 3, 4)) == pytest.approx(24.0)
    assert hypervolume([(0, 1, 0), (1, 0, 0), (0, 0, 1)], (2, 2, 2)) == pytest.approx(7.0)
    assert hypervolume_ratio([(1, 2)], [(1, 2), (2, 1)]) < 1.0
