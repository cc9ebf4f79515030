"""Solvers on fleets: the contract of solvers, the optimum of tiny fleets, laps and pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice, product

import numpy as np
import pytest

from objectives.combine import SESSIONS, Objective
from objectives.sessions.chains import Fleet, total_rate
from objectives.sessions.terms import BY_RATE, BY_RESPONSE
from placement.kinds.base import FoundBy
from placement.kinds.sessions.columns import pack
from placement.kinds.sessions.kind import SessionsTask
from placement.kinds.sessions.problem import SessionsProblem
from placement.kinds.sessions.solvers.pace import Pace, walked
from placement.kinds.sessions.solvers.portfolio import SessionsPortfolio
from placement.registry import SOLVERS, make_solver, solver_names
from placement.search.loop import Outcome, run
from placement.search.problem import IntArray, Problem
from placement.search.solver import Proposal, Solver
from placement.search.stop import Progress, StoppedBy, max_evaluations
from tests.sampled import some_quick

from .fleets import fleet

ROUNDS, EVALUATIONS = 3, 100_000
SLOW = {"nsga2": 4_000, "genetic": 30_000}  # evaluations of those that sort in Python
NAMES = [name for name in solver_names("sessions") if name in SOLVERS]
SEARCHES = [name for name in NAMES if SOLVERS[name].role != "yardstick"]
PROBLEMS: dict[str, Callable[[], SessionsProblem]] = {
    "mix": lambda: SessionsProblem(
        fleet(0, servers=3, blocks=4), Objective({"rate": 1.0, "response": 0.5}, terms=SESSIONS)
    ),
    "response": lambda: SessionsProblem(fleet(1, servers=4, blocks=5, arrivals=0.5), BY_RESPONSE),
    "rate, response limited": lambda: SessionsProblem(
        fleet(2, servers=3, blocks=4, arrivals=0.3), Objective({"rate": 1.0}, {"response": 5.0}, terms=SESSIONS)
    ),
}


@pytest.fixture(params=list(PROBLEMS))
def problem(request: pytest.FixtureRequest) -> SessionsProblem:
    """One tiny problem after the other."""
    return PROBLEMS[request.param]()


def rounds(name: str, problem: SessionsProblem, seed: int = 0) -> list[Proposal]:
    """The first rounds."""
    return list(islice(make_solver(name).search(problem, np.random.default_rng(seed), problem.starts()), ROUNDS))


def outcome_of(solver: Solver, problem: SessionsProblem, evaluations: int = EVALUATIONS, seed: int = 0) -> Outcome:
    """A run without a time limit."""
    return run(
        problem, solver, rng=np.random.default_rng(seed), start=problem.starts(), stop=max_evaluations(evaluations)
    )


@pytest.mark.parametrize("name", NAMES)
def test_proposals_are_placements(name: str, problem: SessionsProblem) -> None:
    """Every genome stands for spans within the model that their servers can hold; rounds say what they scored."""
    for proposal in rounds(name, problem):
        assert proposal.genomes.dtype == np.int64
        assert proposal.genomes.shape[1:] == (problem.genome_size,)
        assert proposal.evaluations >= 0
        for genome in proposal.genomes:
            for span in problem.decode(genome):
                assert 0 <= span.start < span.stop <= problem.fleet.n_blocks
                assert problem.fleet.slots[span.node, span.stop - span.start] > 0


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_rounds(name: str, problem: SessionsProblem) -> None:
    """The generator that is passed in is the only source of chance, and starts are left alone."""
    start = problem.starts()
    before = start.copy()
    for one, two in zip(rounds(name, problem, 5), rounds(name, problem, 5), strict=True):
        assert np.array_equal(one.genomes, two.genomes)
        assert (one.evaluations, one.bound, one.solver) == (two.evaluations, two.bound, two.solver)
    list(islice(make_solver(name).search(problem, np.random.default_rng(0), start), ROUNDS))
    assert np.array_equal(start, before)


@pytest.mark.parametrize("name", SEARCHES)
def test_never_worse_than_its_starts(name: str, problem: SessionsProblem) -> None:
    """The best of a run is at least as good as every start, its bound is one, and it says why it stopped."""
    outcome = outcome_of(make_solver(name), problem, SLOW.get(name, EVALUATIONS))
    for genome in problem.starts():
        score = problem.score(problem.decode(genome))
        assert (outcome.score.violation, outcome.score.cost) <= (score.violation, score.cost + 1e-12)
    assert outcome.score.violation == 0
    assert outcome.bound <= outcome.score.cost * (1 + 1e-9)
    assert outcome.stopped_by in (StoppedBy.EVALUATIONS, StoppedBy.EXHAUSTED, StoppedBy.OPTIMAL)


def every_placement(few: Fleet) -> Iterator[tuple[tuple[int, int], ...]]:
    """All ways to give each server a span, or none."""
    blocks = range(few.n_blocks)
    ranges = [(0, 0)] + [(a, b + 1) for a in blocks for b in blocks if b >= a]
    return product(*([r for r in ranges if r == (0, 0) or few.slots[j, r[1] - r[0]] > 0] for j in range(few.n_servers)))


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_of_tiny_fleets_is_reached(name: str, seed: int) -> None:
    """Three servers and four blocks, every placement tried: the rate of greedy chains is the largest there is."""
    problem = SessionsProblem(fleet(seed, servers=3, blocks=4))
    genomes = np.stack([problem.genome(spans) for spans in every_placement(problem.fleet)])
    costs, broken = problem.evaluate(genomes)
    best = costs[broken == 0].min()
    outcome = outcome_of(make_solver(name), problem, SLOW.get(name, EVALUATIONS))
    assert outcome.score.cost == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("seed", some_quick(range(2), 1))
def test_the_plan_is_packed_as_well_as_any(seed: int) -> None:
    """The closer look finds the best packing of all placements of a tiny fleet."""
    few = fleet(seed, servers=3, blocks=3)
    best = max(total_rate(few, pack(few, spans).plan.chains) for spans in every_placement(few))
    task = SessionsTask(few, BY_RATE)
    plan = task.plan(outcome_of(SessionsPortfolio(), task.problem, 200_000), FoundBy("auto"))
    assert plan.figures.rate_per_s == pytest.approx(best, rel=1e-9)
    assert plan.objective.bound is not None
    assert plan.objective.bound >= best * (1 - 1e-9)


@pytest.mark.parametrize("objective", some_quick([BY_RATE, BY_RESPONSE], 1), ids=["rate", "response"])
def test_same_seed_same_plan(objective: Objective) -> None:
    """Without a time limit the whole search and the plan depend on the seed alone; the phases have all had a turn."""
    task = SessionsTask(fleet(3, servers=9, blocks=10, arrivals=0.3), objective)
    one, two = (outcome_of(SessionsPortfolio(), task.problem, 1_000_000, seed=4) for _ in range(2))
    assert [(point.evaluations, point.cost) for point in one.trace] == [
        (point.evaluations, point.cost) for point in two.trace
    ]
    assert one.finalists == two.finalists
    plans = [replace(task.plan(outcome, FoundBy("auto", 4)), seconds=0.0) for outcome in (one, two)]
    assert plans[0] == plans[1]


class Recorded:
    """The portfolio, with a note of which part made each proposal."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.most = 0

    def search(self, problem: SessionsProblem, rng: np.random.Generator, start: object) -> Iterator[Proposal]:
        """Pass on, as the loop would, the progress of a time limit that is over after 150 rounds."""
        proposals = SessionsPortfolio().search(problem, rng, problem.starts())
        proposal = next(proposals)
        for number in range(1, 150):
            self.parts.append(proposal.solver)
            self.most = max(self.most, len(proposal.genomes))
            share = number / 150
            yield proposal
            proposal = proposals.send(Progress(60.0 * share, 0, 1.0, 0.0, 0.0, 0.0, share))


@pytest.mark.parametrize("response", some_quick([False, True], 1))
def test_every_part_has_its_share(response: bool) -> None:
    """Bounds, groups, race and walks come in turn, each within its part of the time limit."""
    recorded = Recorded()
    problem = SessionsProblem(fleet(3, servers=9, blocks=10, arrivals=0.3), BY_RESPONSE if response else BY_RATE)
    list(recorded.search(problem, np.random.default_rng(0), None))
    parts = dict.fromkeys(recorded.parts)
    assert [part for part in parts if part] == (
        ["groups", "race", "annealing", "tempering"] if response else ["groups", "race", "tempering"]
    )
    assert recorded.parts.count("groups") <= 18
    assert recorded.most <= 1


def test_pace_follows_the_time_limit_or_the_moves() -> None:
    """With a limit the share is the loop's; without one laps of moves grow, and nothing looks at a clock."""
    pace = Pace(fleet(0, servers=10))
    pace.note(Progress(2.0, 0, 1.0, 0.0, 0.0, 0.0, 0.25), 10)
    assert (pace.timed, pace.share, pace.limit_s, pace.seconds(0.5)) == (True, 0.25, 8.0, 4.0)
    pace = Pace(fleet(0, servers=10))
    for moves in (50_000, 25_000):
        pace.note(Progress(99.0, 0, 1.0, 0.0, 0.0, 0.0, 0.0), moves)
    assert (pace.timed, pace.share) == (False, 0.75)
    pace.next_lap()
    pace.note(None, 30_000)
    assert pace.share == pytest.approx(0.1)


class Improving:
    """A solver whose every round is better: genomes count up."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Count for ever."""
        for number in count(1):
            yield Proposal(np.full((1, problem.genome_size), number, dtype=np.int64), 1)


def test_of_many_servers_few_improvements_are_told() -> None:
    """Nine rounds between two that the loop scores by its slow reference; the last of a walk is told in any case."""
    problem = SessionsProblem(fleet(0, servers=120))
    pace = Pace(problem.fleet, limit_s=1e-3)
    start = np.zeros((1, problem.genome_size), dtype=np.int64)
    walk = walked(Improving(), problem, np.random.default_rng(0), start, pace, 0.7, name="", finalists=True)
    proposals = list(walk)
    told = [int(proposal.genomes[0, 0]) for proposal in proposals if len(proposal.genomes)]
    assert told[:2] == [9, 18]
    assert told[-1] == len(proposals) - 1
    named = [int(proposal.finalists[0, 0]) for proposal in proposals if proposal.finalists is not None]
    assert named[:6] == [1, 2, 3, 4, 5, 7]


@pytest.mark.parametrize("name", [name for name in NAMES if SOLVERS[name].role == "yardstick"])
def test_yardsticks_show_their_own_value(name: str) -> None:
    """A rule of the literature gives one placement, and its plan has greedy chains: no closer look improves it."""
    task = SessionsTask(fleet(3, servers=8), BY_RATE)
    outcome = run(
        task.problem, make_solver(name), rng=np.random.default_rng(0), start=np.empty((0, 16), dtype=np.int64)
    )
    plan = task.plan(outcome, FoundBy(name))
    assert plan.objective.value == pytest.approx(1.0 / outcome.score.cost)
    assert not outcome.finalists
