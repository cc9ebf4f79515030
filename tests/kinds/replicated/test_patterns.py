"""The pattern program: its bound holds for every placement, its stages are the best ones."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import islice, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import REPLICATED
from objectives.replicated.flow_bounds import capped_bound
from placement import optimize
from placement.errors import InputError
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.kinds.replicated.solvers.pattern_columns import Option, cheapest
from placement.kinds.replicated.solvers.patterns import Patterns, bisect
from placement.kinds.replicated.solvers.portfolio import ReplicatedPortfolio
from placement.question.objective import objective_of
from placement.readers.helix import read_helix
from placement.search.loop import Outcome, run
from placement.search.solver import NotApplicableError
from placement.search.stop import StoppedBy, max_evaluations
from placement.testing import tiny
from tests.objectives.replicated.cases import make_case

WIDE = 1e15


def problem_of(
    seed: int, nodes: int, blocks: int, *, partial: bool = False, wide: bool = True, objective: str = "flow"
) -> ReplicatedProblem:
    """An invented cluster, with links that never bind unless asked."""
    tables = read_helix(make_case(seed, nodes=nodes, blocks=blocks), partial=partial).tables
    if wide:
        n = tables.n_nodes
        tables = replace(
            tables,
            bandwidth_bytes_per_s=np.full((n + 1, n + 1), WIDE),
            nic_in=np.full(n, WIDE),
            nic_out=np.full(n, WIDE),
            client_in=WIDE,
            client_out=WIDE,
        )
    return ReplicatedProblem(tables, objective_of(objective, REPLICATED))


def solved(problem: ReplicatedProblem) -> Outcome:
    """Run until it ends."""
    return run(
        problem,
        Patterns(),
        rng=np.random.default_rng(0),
        start=problem.starts()[-1:],
        stop=max_evaluations(10**9),
        bound=problem.lower_bound(),
    )


def flows(problem: ReplicatedProblem, choices: list[list[tuple[int, int]]]) -> float:
    """Best flow over every combination of spans."""
    rows = np.array([np.array(spans).T.ravel() for spans in product(*choices)], dtype=np.int64)
    costs, broken = problem.evaluate(rows)
    return float(1.0 / costs[broken == 0].min()) if (broken == 0).any() else 0.0


def best_of_all(problem: ReplicatedProblem) -> float:
    """Best flow over every placement."""
    blocks = problem.tables.n_blocks
    choices = [
        [(0, 0), *((a, b) for a in range(blocks) for b in range(a + 1, min(blocks, a + int(most)) + 1))]
        for most in problem.tables.most_blocks
    ]
    return flows(problem, choices)


def best_of_stages(problem: ReplicatedProblem) -> float:
    """Best flow over every staged placement: every set of cuts, every node in any stage or idle."""
    blocks, most = problem.tables.n_blocks, problem.tables.most_blocks
    best = 0.0
    for mask in range(1 << (blocks - 1)):
        cuts = [0, *(b for b in range(1, blocks) if mask >> (b - 1) & 1), blocks]
        stages = list(pairwise(cuts))
        if len(stages) > problem.tables.max_stages:
            continue
        best = max(best, flows(problem, [[(0, 0), *((a, b) for a, b in stages if b - a <= k)] for k in most]))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_stages_equal_brute_force(seed: int) -> None:
    """Where links are wide the placement found is the best in stages, and the note says so to the digit."""
    problem = problem_of(seed, nodes=5, blocks=5)
    best = best_of_stages(problem)
    assert best > 0
    outcome = solved(problem)
    assert 1.0 / outcome.score.cost >= best * (1 - 1e-9)
    if outcome.stopped_by is StoppedBy.EXHAUSTED:
        assert f"in stages more than {best:.6g}" in outcome.remark


@pytest.mark.parametrize("seed", range(3))
def test_limited_stages_equal_brute_force(seed: int) -> None:
    """The longest chain is limited to three nodes."""
    problem = problem_of(seed, nodes=6, blocks=5)
    problem = replace(problem, tables=replace(problem.tables, max_stages=3))
    best, outcome = best_of_stages(problem), solved(problem)
    reached = 1.0 / outcome.score.cost if outcome.score.violation == 0 else 0.0
    assert reached == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_bound_holds_for_every_placement(seed: int, partial: bool) -> None:
    """Unaligned spans and both edge rules; it is never above the capped bound."""
    problem = problem_of(seed, nodes=4, blocks=4, partial=partial, wide=seed % 2 == 0)
    outcome = solved(problem)
    bound = 1.0 / outcome.bound
    assert bound >= best_of_all(problem) * (1 - 1e-9)
    assert bound <= capped_bound(problem.tables) * (1 + 1e-8)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_cheapest_equals_enumeration(seed: int) -> None:
    """Labels that are left out never hold the cheapest pattern."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 3, 3)
    flow = float(rng.uniform(5, 15))
    options = [
        [Option(float(rng.integers(0, 4)), float(min(flow, rng.uniform(1, 6))), k + 1) for k in range(rng.integers(3))]
        for _ in count
    ]
    nodes = [row for row, number in zip(options, count, strict=True) for _ in range(number)]
    costs = [
        sum(option.cost for option in chosen if option)
        for chosen in product(*([None, *row] for row in nodes))
        if sum(option.rate for option in chosen if option) >= flow
    ]
    found = cheapest(options, count, flow, np.inf)
    assert (found is None) == (not costs)
    if found is not None:
        assert found[0] == pytest.approx(min(costs))
        assert sum(option.rate for _, option in found[1]) >= flow * (1 - 1e-12)


@given(st.floats(0.1, 100.0), st.floats(0.0, 1.0))
def test_bisection_meets_a_step(best: float, part: float) -> None:
    """Whatever is asked first, it ends with bound and value at the largest flow that is reached."""
    *_, (low, high, _) = bisect(lambda flow: (best if flow <= best else 0.0, None), 0.0, 200.0, 200.0 * part)
    assert low == best
    assert best <= high <= best * (1 + 1e-9)


def test_portfolio_carries_the_proof() -> None:
    """Rounds of `auto` for a flow bring the bound and what was proven."""
    problem = problem_of(1, nodes=6, blocks=6, wide=False)
    proofs = []
    for proposal in islice(ReplicatedPortfolio().search(problem, np.random.default_rng(0), problem.starts()), 2000):
        if np.isfinite(proposal.bound):
            proofs.append(proposal)
        if "in stages" in proposal.remark:  # comes after the bound on all placements
            break
    assert proofs
    assert {proposal.solver for proposal in proofs} == {"patterns"}
    assert 1.0 / max(proposal.bound for proposal in proofs) == pytest.approx(1.0 / solved(problem).bound, rel=1e-8)


def test_what_it_does_not_cover_is_one_line() -> None:
    """Pipelines, other objectives, and clusters beyond its size."""
    rng = np.random.default_rng(0)
    pipeline: PipelineProblem = tiny()
    with pytest.raises(NotApplicableError, match="replicated placements only"):
        next(Patterns().search(pipeline, rng, pipeline.starts()))
    served = problem_of(0, 4, 4, objective="served")
    with pytest.raises(NotApplicableError, match="the objective flow only"):
        next(Patterns().search(served, rng, served.starts()))
    flow = problem_of(0, 4, 4)
    with pytest.raises(NotApplicableError, match="up to 3"):
        next(Patterns(most_work=3).search(flow, rng, flow.starts()))
    with pytest.raises(InputError, match="'patterns' cannot work on this"):
        optimize(None, read_helix(make_case(0)), objective="served", solver="patterns")


@pytest.mark.slow
def test_missing_packages_are_one_line() -> None:
    """Without pyomo or highspy it says which packages it needs, and the portfolio goes on without it."""
    code = """
import sys
sys.modules["highspy"] = None
import numpy as np
from placement.search.loop import run
from placement.search.solver import NotApplicableError
from placement.kinds.replicated.solvers.patterns import Patterns
from placement.kinds.replicated.solvers.portfolio import ReplicatedPortfolio
from placement.search.stop import max_evaluations
from tests.kinds.replicated.test_patterns import problem_of
problem = problem_of(0, 4, 4)
try:
    next(Patterns().search(problem, np.random.default_rng(0), problem.starts()))
except NotApplicableError as error:
    print(error)
run(problem, ReplicatedPortfolio(), rng=np.random.default_rng(0), start=problem.starts(), stop=max_evaluations(1000))
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "patterns needs the packages pyomo and highspy" in done.stdout
    assert "went on" in done.stdout
