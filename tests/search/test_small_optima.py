"""Every search is held to the proven optimum of every tiny question, by placements scored and not by seconds."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from placement.kinds.asked import ask
from placement.registry import SOLVERS
from placement.search.loop import run
from placement.search.solver import NotApplicableError
from placement.search.stop import StoppedBy, first, max_evaluations, target
from placement.testing import EXAMPLES

pytestmark = pytest.mark.slow

SEARCHES = [name for name, entry in SOLVERS.items() if entry.role == "search"]
EVALUATIONS = 100_000
PROOF = 300_000
# Random keys order nodes, and a node comes once in an order: a placement whose tied blocks lie on one node with others
# in between has none. The beam extends chains from the front and forgets where they began.
OUT_OF_REACH = {("pso", "tied embeddings"), ("beam", "tied embeddings")}
# How many of three seeds reach it where it is fewer than two: annealing takes the way back to a tied block seldom.
SELDOM = {("annealing", "tied embeddings"): 1}


def kind_of(name: str) -> str:
    """The kind of plans that a tiny question asks for."""
    return ask(None, EXAMPLES[name].document).kind.name


@cache
def optimum(name: str) -> float | None:
    """The least cost of a tiny question, None where nobody proves it."""
    example = EXAMPLES[name]
    if callable(example.objective):
        return None
    problem = example.problem()
    solver = SOLVERS["auto"].make(kind_of(name))
    found = run(
        problem,
        solver,
        rng=np.random.default_rng(0),
        start=problem.starts(),
        stop=max_evaluations(PROOF),
        bound=problem.lower_bound(),
    )
    return found.score.cost if found.stopped_by is StoppedBy.OPTIMAL else None


def test_most_are_proven() -> None:
    """There is something to be held to in every kind that has proofs."""
    proven = [name for name in EXAMPLES if optimum(name) is not None]
    assert len(proven) >= 13
    assert {name.partition(",")[0] for name in proven} >= {"replicated", "routes", "three nodes"}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("name", SEARCHES)
def test_it_reaches_the_optimum(name: str, example: str) -> None:
    """From the worst of the starts, with two seeds of three at least."""
    least = optimum(example)
    if least is None:
        pytest.skip("nobody proves this one")
    if (name, example) in OUT_OF_REACH:
        pytest.skip("its encoding has no such placement")
    problem = EXAMPLES[example].problem()
    kind = kind_of(example)
    if not SOLVERS[name].suits(kind):
        pytest.skip(f"it does not solve {kind} plans")
    stop = first(max_evaluations(EVALUATIONS), target(least * (1 + 1e-9)))
    reached = 0
    for seed in range(3):
        try:
            found = run(
                problem,
                SOLVERS[name].make(kind),
                rng=np.random.default_rng(seed),
                start=problem.starts()[-1:],
                stop=stop,
                prove=False,
            )
        except NotApplicableError as error:
            pytest.skip(f"does not apply: {error}")
        reached += found.score.violation == 0 and found.score.cost <= least * (1 + 1e-9)
    assert reached >= SELDOM.get((name, example), 2)
