"""The contract of solvers on chains through swarms, for every solver of the list that says it solves them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from objectives.combine import Objective
from objectives.routes.terms import ROUTES
from placement.kinds.routes.kernels.routes import route_crossover, route_from_keys, route_neighbour
from placement.kinds.routes.problem import RoutesProblem
from placement.registry import SOLVERS
from placement.search.loop import run
from placement.search.solver import Proposal
from placement.search.state import FalseBoundError
from placement.search.stop import max_evaluations

from .swarms import allowed, drawn, every_value

NAMES = [name for name, entry in SOLVERS.items() if "routes" in entry.kinds]
ROUNDS = 3


def of(spec: object, **limits: float) -> Objective:
    """An objective of routes."""
    return Objective.of(spec, limits, ROUTES)  # type: ignore[arg-type]


PROBLEMS: Mapping[str, Callable[[], RoutesProblem]] = {
    "star": lambda: RoutesProblem(drawn(1), of("latency")),
    "chain": lambda: RoutesProblem(drawn(2), of("latency"), "chain"),
    "throughput": lambda: RoutesProblem(drawn(3), of("throughput"), "chain"),
    "mix": lambda: RoutesProblem(drawn(4), of({"latency": 1.0, "price": 0.01}, throughput=2.0)),
    "least reliability": lambda: RoutesProblem(drawn(5), of("price", reliability=0.5)),
    "front": lambda: RoutesProblem(drawn(6), of("latency,throughput")),
    "front of three": lambda: RoutesProblem(drawn(7), of("latency,throughput,price"), "chain", 0.02),
}


@pytest.fixture(params=list(PROBLEMS))
def problem(request: pytest.FixtureRequest) -> RoutesProblem:
    """One small swarm after the other."""
    return PROBLEMS[request.param]()


def rounds(name: str, problem: RoutesProblem) -> list[Proposal]:
    """The first rounds of a solver."""
    found = SOLVERS[name].make("routes").search(problem, np.random.default_rng(3), problem.starts())
    return list(itertools.islice(found, ROUNDS))


@pytest.mark.parametrize("name", NAMES)
def test_proposals_are_chains(name: str, problem: RoutesProblem) -> None:
    """Every block lies at a server that holds it; evaluations are counted."""
    found = rounds(name, problem)
    swarm = problem.swarm
    for genome in itertools.chain.from_iterable(proposal.genomes for proposal in found):
        assert all(swarm.starts[j] <= b < swarm.stops[j] for b, j in enumerate(genome))
    assert sum(proposal.evaluations for proposal in found) > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_rounds(name: str, problem: RoutesProblem) -> None:
    """The generator that is passed in is the only source of chance, and starts are left alone."""
    start = problem.starts()
    before = start.copy()
    for one, two in zip(rounds(name, problem), rounds(name, problem), strict=True):
        assert np.array_equal(one.genomes, two.genomes)
        assert (one.evaluations, one.bound, one.solver) == (two.evaluations, two.bound, two.solver)
    assert np.array_equal(problem.starts(), before)


@pytest.mark.parametrize("name", NAMES)
def test_every_search_reaches_the_optimum_of_a_small_swarm(name: str, problem: RoutesProblem) -> None:
    """The best chain of all by the (first) objective is found, and no bound lies above it."""
    found = run(
        problem,
        SOLVERS[name].make("routes"),
        rng=np.random.default_rng(0),
        start=problem.starts(),
        bound=problem.lower_bound(),
        stop=max_evaluations(3_000 if name == "nsga2" else 30_000),
    )
    good = allowed(every_value(problem.swarm, problem.shape), problem.objective)
    best = float((good @ problem.objective.weight_vector()).min())
    assert found.score.violation == 0
    assert found.score.cost == pytest.approx(best)
    assert problem.lower_bound() <= best * (1 + 1e-9)


def test_offspring_are_chains_and_kernels_score_as_the_reference() -> None:
    """Moves and crossover give every block to a server that holds it; terms, cost and violation agree."""
    objective = of({"latency": 1.0, "price": 0.1, "reliability": 2.0}, latency=0.2, throughput=4.0)
    problem, rng = RoutesProblem(drawn(5), objective), np.random.default_rng(0)
    one, two = problem.random(rng, 2)
    out = one.copy()
    for k in range(300):
        if k % 2:
            route_neighbour(one, problem.data, rng, out)
        else:
            route_crossover(one, two, problem.data, rng, out)
        one, two = out.copy(), one
        assert all(problem.swarm.starts[j] <= b < problem.swarm.stops[j] for b, j in enumerate(one))
        score = problem.score(problem.decode(one))
        values, broken = problem.terms(one[None, :])
        costs, _ = problem.evaluate(one[None, :])
        assert values[0] == pytest.approx(score.values)
        assert (costs[0], broken[0]) == pytest.approx((score.cost, score.violation))


def test_genomes_keys_and_spans_stand_for_each_other() -> None:
    """Encoding turns decoding around; keys of a genome draw its servers, which are kept as long as they reach."""
    problem = RoutesProblem(drawn(8))
    for genome in problem.starts():
        assert np.array_equal(problem.encode(problem.decode(genome)), genome)
        drawn_again = np.zeros_like(genome)
        route_from_keys(problem.to_keys(genome) * 0.92, problem.data, drawn_again)
        assert drawn_again[0] == genome[0]
        assert all(problem.swarm.starts[j] <= b < problem.swarm.stops[j] for b, j in enumerate(drawn_again))


class _Claims:
    """A solver that calls half a front whole."""

    def search(self, problem: RoutesProblem, rng: np.random.Generator, start: np.ndarray) -> object:
        """One claim."""
        worst = start[np.argsort(problem.evaluate(start)[0])[-1:]]
        yield Proposal(worst, 1, whole_front=0.0)


def test_a_front_that_is_not_whole_is_refused() -> None:
    """A placement found before that nothing on the claimed front matches contradicts the claim."""
    problem = PROBLEMS["front"]()
    with pytest.raises(FalseBoundError, match="called whole"):
        run(problem, _Claims(), rng=np.random.default_rng(0), start=problem.starts())  # type: ignore[arg-type]
