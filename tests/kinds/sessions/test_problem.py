"""The problem of a fleet: kernels equal the reference, moves keep spans in range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import SESSIONS, Objective
from objectives.sessions.terms import BY_RATE, BY_RESPONSE
from placement.kinds.sessions.disjoint import GroupProblem
from placement.kinds.sessions.kernels.spans import sessions_neighbour
from placement.kinds.sessions.problem import SessionsProblem

from .fleets import fleet

OBJECTIVES = {
    "rate": BY_RATE,
    "response": BY_RESPONSE,
    "mix": Objective({"rate": 1.0, "response": 0.5}, terms=SESSIONS),
    "rate with a limit": Objective({"rate": 1.0}, {"response": 6.0, "rate": 0.5}, terms=SESSIONS),
    "front": Objective.of("rate,response", terms=SESSIONS),
}


@given(st.integers(0, 10_000), st.sampled_from(list(OBJECTIVES)), st.booleans())
@settings(max_examples=100, deadline=None)
def test_kernel_equals_reference(seed: int, name: str, alike: bool) -> None:
    """The compiled greedy chains score like the plain ones, whatever the objective, term by term.

    Between servers of one type many chains are equally fast; which one is taken decides which are left.
    """
    problem = SessionsProblem(fleet(seed, alike=alike), OBJECTIVES[name])
    genomes = problem.random(np.random.default_rng(seed), 4)
    (costs, broken), (values, _) = problem.evaluate(genomes), problem.terms(genomes)
    for genome, cost, violation, row in zip(genomes, costs, broken, values, strict=True):
        score = problem.score(problem.decode(genome))
        assert row == pytest.approx(score.values, rel=1e-9)
        if score.violation < 1 or violation < 1:
            assert (cost, violation) == pytest.approx((score.cost, score.violation), rel=1e-9)


@given(st.integers(0, 10_000), st.sampled_from(list(OBJECTIVES)))
@settings(max_examples=30, deadline=None)
def test_bound_at_a_glance_is_a_bound(seed: int, name: str) -> None:
    """No placement that keeps the rules costs less."""
    problem = SessionsProblem(fleet(seed), OBJECTIVES[name])
    costs, broken = problem.evaluate(problem.random(np.random.default_rng(seed), 8))
    assert (problem.lower_bound() <= costs[broken == 0] * (1 + 1e-9)).all()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_groups_of_disjoint_chains_come_back(seed: int) -> None:
    """Groups as spans and back are a genome with a placement at least as good by its chains."""
    groups = GroupProblem(SessionsProblem(fleet(seed)))
    genome = groups.random(np.random.default_rng(seed), 1)[0]
    again = groups.encode(groups.decode(genome))
    assert again.shape == genome.shape
    assert ((again >= 0) & (again[: groups.chains.fleet.n_servers] < groups.data.groups).all()).all()
    assert groups.evaluate(again[None, :])[1][0] in (0.0, 2.0)
    values, broken = groups.terms(genome[None, :])
    assert values.shape == (1, 2)
    assert broken.shape == (1,)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_moves_keep_spans_in_range(seed: int) -> None:
    """A walk of any moves leaves spans that exist and that their servers hold with a session's cache."""

    few, rng = fleet(seed, servers=6), np.random.default_rng(seed)
    problem = SessionsProblem(few)
    genome = problem.random(rng, 1)[0]
    for _ in range(200):
        trial = np.empty_like(genome)
        sessions_neighbour(genome, problem.data, rng, trial)
        starts, sizes = trial[:6], trial[6:]
        assert (starts >= 0).all()
        assert (starts + sizes <= few.n_blocks).all()
        assert ((sizes >= 0) & (sizes <= few.most_blocks)).all()
        genome = trial
