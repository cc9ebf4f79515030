"""`optimize()` as a caller sees it: what it takes, what it refuses, what it gives back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from objectives.pipeline.terms import Terms
from objectives.spans import Span
from placement import InfeasibleError, InputError, NotFoundError, Plan, contest, optimize, plugins, registry
from placement.kinds.pipeline.problem import problem_of
from placement.plan.plan import PlacedSpan
from placement.readers.cluster.read import read_request
from placement.search.problem import Problem
from placement.search.solver import IntArray, NotApplicableError, Proposal
from placement.search.state import FalseBoundError
from placement.search.stop import Progress, StoppedBy

MODEL = {
    "name": "m",
    "blocks": [
        {"name": "layer", "repeat": 6, "weights": "400 MiB", "kv_per_token": "1 KiB", "activation_per_token": "8 KiB"}
    ],
}
NETWORK = {"within": {"default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"}}}
NODES = [{"name": name, "memory": "2 GiB", "decode_seconds_per_block": s} for name, s in (("a", 0.01), ("b", 0.02))]
CLUSTER = {"model": MODEL, "nodes": NODES, "network": NETWORK}


@dataclass(frozen=True)
class Refuses:
    """A solver that works on nothing."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Refuse."""
        yield from ()
        raise NotApplicableError("it is Monday")


SLOW = (Span(1, 0, 5), Span(0, 5, 6))


@dataclass(frozen=True)
class Lies:
    """A solver that claims a bound, whatever it is, and more evaluations than there are placements."""

    bound: float

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Propose what puts most blocks on the slow node."""
        yield Proposal(problem.encode(SLOW)[None, :], 10**9, self.bound)


def test_a_solver_that_does_not_apply_is_an_error_of_one_line() -> None:
    """Its reason is passed on."""
    with pytest.raises(InputError, match="the solver 'Refuses' cannot work on this: it is Monday"):
        optimize(None, CLUSTER, solver=Refuses())


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True])
def test_seeds_are_whole_numbers(seed: object) -> None:
    """Anything else is refused by name."""
    with pytest.raises(InputError, match="seed: expected a whole number of at least 0"):
        optimize(None, CLUSTER, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_time_limits_are_positive(seconds: float) -> None:
    """Zero, less and NaN are refused."""
    with pytest.raises(InputError, match="time_limit"):
        optimize(None, CLUSTER, time_limit=seconds)


def test_a_false_bound_is_refused_loudly() -> None:
    """A bound above the cost of a feasible placement is a contradiction, not a proof."""
    with pytest.raises(FalseBoundError, match="the solver 'Lies': a false bound was claimed"):
        optimize(None, CLUSTER, solver=Lies(1e9))


def test_a_worse_proposal_than_the_start_changes_nothing() -> None:
    """The best start stays the answer, and a bound that says nothing proves nothing."""
    problem = problem_of(read_request(CLUSTER))
    result = optimize(None, CLUSTER, solver=Lies(-np.inf))
    assert result.plan.objective.value == pytest.approx(problem.score(problem.decode(problem.starts()[0])).cost)
    assert result.plan.objective.value < problem.score(SLOW).cost


def test_not_found_is_no_proof() -> None:
    """A yardstick whose one split breaks a rule proves nothing: the best attempt comes with what it lacks."""
    narrow = {**CLUSTER, "nodes": [{**NODES[0], "memory": "1700 MiB"}, {**NODES[1], "memory": "900 MiB"}]}
    with pytest.raises(NotFoundError, match="the split lacks") as caught:
        optimize(None, narrow, solver="uniform")
    assert caught.value.best.status == "infeasible"
    assert caught.value.best.placement
    assert optimize(None, narrow).plan.status == "solved"


def test_what_is_proven_infeasible_says_so() -> None:
    """Memory that all nodes together lack is a proof, and the reasons have the bytes."""
    with pytest.raises(InfeasibleError, match="are missing"):
        optimize(None, {**CLUSTER, "nodes": NODES[:1]})


def test_two_nodes_are_split_at_the_optimum() -> None:
    """The fast node takes all that it can hold; the bound is met."""
    result = optimize(None, CLUSTER, time_limit=5)
    held = {span.node: span.stop - span.start for span in result.plan.placement}
    assert held == {"a": 5, "b": 1}
    assert result.gap == 0.0
    assert result.stopped_by is StoppedBy.OPTIMAL


def test_plan_survives_json(tmp_path: object) -> None:
    """JSON out and in is the identity."""
    plan = optimize(None, CLUSTER, time_limit=2).plan
    assert Plan.from_dict(plan.to_dict()) == plan


def test_a_start_is_never_lost() -> None:
    """A run that begins from a plan is at least as good."""
    plan = optimize(None, CLUSTER, time_limit=2).plan
    again = optimize(None, CLUSTER, solver="uniform", start=plan)
    assert again.plan.objective.value <= plan.objective.value + 1e-12


def test_a_start_for_another_model_is_refused() -> None:
    """The number of blocks must agree."""
    plan = optimize(None, CLUSTER, time_limit=2).plan
    other = {**CLUSTER, "model": {**MODEL, "blocks": [{**MODEL["blocks"][0], "repeat": 5}]}}  # type: ignore[dict-item]
    with pytest.raises(InputError, match="the plan is for 6 blocks, the model m has 5"):
        optimize(None, other, start=plan)


@pytest.mark.slow
def test_custom_objective_with_every_search_agrees_with_the_built_in_one() -> None:
    """A function that returns the latency finds what the latency finds."""

    def mine(terms: Terms) -> float:
        return terms.values["latency"]

    best = optimize(None, CLUSTER, time_limit=2).plan.objective.value
    for solver in ("annealing", "genetic", "tabu", "pso", "auto"):
        result = optimize(None, CLUSTER, objective=mine, solver=solver, time_limit=0.5)
        assert result.plan.objective.value == pytest.approx(best)
        assert result.plan.objective.name == "mine"
        assert result.bound is None


def test_stop_and_progress_see_the_search() -> None:
    """A criterion of the caller ends the run, and progress is reported."""
    seen: list[Progress] = []
    result = optimize(
        None,
        CLUSTER,
        solver="annealing",
        objective=["latency", "price"],
        time_limit=60,
        progress=seen.append,
        stop=lambda progress: progress.evaluations > 50_000,
    )
    assert result.stopped_by is StoppedBy.CUSTOM
    assert seen[-1].evaluations == result.plan.evaluations > 50_000


def test_limits_from_python() -> None:
    """A limit that no placement meets is told with the best possible value."""
    with pytest.raises(InfeasibleError, match="cannot be met: the best possible is"):
        optimize(None, CLUSTER, limits={"time_per_token": 1e-6}, time_limit=1)


def test_names_come_from_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered solver has a name; a taken name is warned about; a failing one is an error of one line."""
    points = [
        EntryPoint("mine", f"{__name__}:Lies", "placement.solvers"),
        EntryPoint("auto", f"{__name__}:Lies", "placement.solvers"),
        EntryPoint("gone", "no_such_module:X", "placement.solvers"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == "placement.solvers" else [])
    plugins.plugins.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"'auto' .* is already taken"):
            assert registry.solver_names()[-2:] == ["mine", "gone"]
        with pytest.raises(InputError, match=r"the plugin 'gone' .* failed to load"):
            registry.make_solver("gone")
        with pytest.raises(InputError, match="did you mean 'mine'"):
            registry.make_solver("mien")
    finally:
        plugins.plugins.cache_clear()


def test_a_start_with_too_many_runs_is_refused() -> None:
    """A plan with more runs than nodes cannot begin a contiguous search: one clear line."""
    plan = optimize(None, CLUSTER, time_limit=0.2).plan
    runs = tuple(PlacedSpan("ab"[k % 2], k, k + 1) for k in range(plan.n_blocks))
    with pytest.raises(InputError, match="does not suit"):
        optimize(None, CLUSTER, start=replace(plan, placement=runs), time_limit=0.2)


def test_choices_that_nothing_fits_are_infeasible_where_that_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that lacks whatever is chosen is a proof; moments of search that found nothing are none."""
    left_open = {**CLUSTER, "workload": {"concurrency": "max"}}
    with pytest.raises(InfeasibleError, match="no plan was found for a single sequence"):
        optimize(None, {**left_open, "nodes": NODES[:1]})
    search: Any = contest.__dict__["run_asked"]

    def unlucky(*given: Any, **keys: Any) -> Any:
        found = search(*given, **keys)
        return replace(found, score=replace(found.score, violation=1.0))

    monkeypatch.setattr(contest, "run_asked", unlucky)
    with pytest.raises(NotFoundError, match="no plan was found for a single sequence"):
        optimize(None, left_open, time_limit=1.0)
