"""The exact solver against exhaustive search, and what must hold between instances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import TERMS, Objective
from objectives.pipeline.tables import CostTables
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.pipeline.solvers.exact import Exact
from placement.kinds.pipeline.solvers.exhaustive import Exhaustive, candidates
from placement.search.loop import Outcome, run
from placement.search.solver import NotApplicableError, Solver
from placement.search.stop import StoppedBy
from tests.objectives.pipeline.cases import KINDS, random_objective, tables, tiny
from tests.sampled import some_quick

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def solve(problem: PipelineProblem, solver: Solver | None = None) -> Outcome:
    rng = np.random.default_rng(0)
    return run(problem, solver or Exact(), rng=rng, start=problem.starts(), stop=lambda _: None, prove=False)


def same(problem: PipelineProblem) -> None:
    """Both solvers find the same optimum, or both prove that there is none."""
    wanted, found = solve(problem, Exhaustive()), solve(problem)
    if wanted.score.violation > 0:
        assert found.bound == np.inf
        assert found.score.violation > 0
    else:
        assert found.score.violation == 0
        assert found.score.cost == pytest.approx(wanted.score.cost, rel=1e-9)
        assert found.bound <= wanted.score.cost * (1 + 1e-12)
        assert found.bound == pytest.approx(wanted.score.cost, rel=1e-9)
        assert found.stopped_by is StoppedBy.OPTIMAL


def random_problem(seed: int) -> PipelineProblem:
    """Tiny, with an objective and limits that are neither idle nor hopeless."""
    rng = np.random.default_rng(seed)
    instance = tiny(rng)
    plain = PipelineProblem(instance, Objective())
    values, broken = plain.terms(plain.random(rng, 20))
    return PipelineProblem(instance, random_objective(rng, values[broken <= broken.min()]))


@pytest.mark.parametrize("block", some_quick(range(10), 0))
def test_exact_is_exhaustive(block: int) -> None:
    """On random tiny instances with all kinds of constraints, objectives and limits."""
    for seed in range(25 * block, 25 * block + 25):
        same(random_problem(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TERMS)
def test_every_term_under_every_constraint(kind: str, name: str) -> None:
    rng = np.random.default_rng(abs(KINDS.index(kind) * 10 + TERMS.index(name)))
    instance = tables(rng, 3, 5, 4, kinds={kind, "uneven"}, room=2.5)
    same(PipelineProblem(instance, Objective({name: 1.0})))


@given(seeds, st.sampled_from(TERMS))
@few
def test_more_memory_never_worsens_the_optimum(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    tight = tables(rng, 4, 8, 4, kinds={"memory", "uneven"}, room=2.0)
    roomy = replace(tight, capacity_bytes=tight.capacity_bytes * (1 + rng.uniform(0, 1, 4)))
    costs = [optimum(instance, name) for instance in (tight, roomy)]
    assert costs[1] <= costs[0] * (1 + 1e-9)


@given(seeds, st.sampled_from(TERMS))
@few
def test_one_node_more_never_worsens_the_optimum(seed: int, name: str) -> None:
    more = tables(np.random.default_rng(seed), 4, 8, 4, kinds={"uneven"}, room=2.0)
    costs = [optimum(instance, name) for instance in (without_last(more), more)]
    assert costs[1] <= costs[0] * (1 + 1e-9)


@given(seeds, st.sampled_from(TERMS))
@few
def test_numbering_of_nodes_does_not_matter(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    first = tables(rng, 4, 8, 4, kinds={"uneven", "twins", "links"}, room=2.5)
    second = renumbered(first, rng.permutation(4))
    costs = [optimum(instance, name) for instance in (first, second)]
    assert costs[1] == pytest.approx(costs[0], rel=1e-9)


def test_twins_count_as_one_type() -> None:
    """Twelve nodes of three types are solved as three types; the answer uses real, different nodes."""
    rng = np.random.default_rng(3)
    base = tables(rng, 3, 30, 8, room=1.5)
    like = np.repeat(np.arange(3), 4)
    many = replicated(base, like)
    outcome = solve(PipelineProblem(many, Objective({"throughput": 1.0})))
    nodes = [span.node for span in outcome.spans]
    assert outcome.stopped_by is StoppedBy.OPTIMAL
    assert len(set(nodes)) == len(nodes)


def test_too_many_states_leave_a_bound() -> None:
    problem = PipelineProblem(tables(np.random.default_rng(0), 6, 12), Objective())
    outcome = solve(problem, Exact(most_entries=10))
    assert 0 < outcome.bound <= outcome.score.cost


def test_exhaustive_says_how_many_are_too_many() -> None:
    instance = tables(np.random.default_rng(0), 8, 20)
    with pytest.raises(NotApplicableError, match=str(candidates(instance, 8))):
        solve(PipelineProblem(instance, Objective()), Exhaustive())


def test_exhaustive_takes_a_custom_objective() -> None:
    instance = tables(np.random.default_rng(1), 3, 4)
    custom = PipelineProblem(instance, Objective(), custom=lambda terms: terms.values["latency"] ** 2)
    plain = PipelineProblem(instance, Objective())
    assert solve(custom, Exhaustive()).score.cost == pytest.approx(solve(plain).score.cost ** 2)


def optimum(instance: CostTables, name: str) -> float:
    outcome = solve(PipelineProblem(instance, Objective({name: 1.0})))
    assert outcome.stopped_by is StoppedBy.OPTIMAL or outcome.bound == np.inf
    return outcome.score.cost if outcome.score.violation == 0 else np.inf


def renumbered(first: CostTables, order: np.ndarray) -> CostTables:
    """The same nodes (all, some, or copies of them) in another order."""
    ends = np.ix_(np.append(order, first.client), np.append(order, first.client))
    nodes = {name: getattr(first, name)[order] for name in ("prefill_s", "capacity_bytes", "price_per_hour", "power_w")}
    return replace(
        first,
        **nodes,
        decode_s=first.decode_s[:, order],
        allowed=first.allowed[order],
        required=first.required[order],
        latency_s=first.latency_s[ends],
        bandwidth_bytes_per_s=first.bandwidth_bytes_per_s[ends],
        max_nodes=len(order),
    )


def without_last(first: CostTables) -> CostTables:
    return renumbered(first, np.arange(first.n_nodes - 1))


def replicated(base: CostTables, like: np.ndarray) -> CostTables:
    return renumbered(base, like)
