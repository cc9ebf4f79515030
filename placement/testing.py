"""The contract of solvers, as tests to inherit.

>>> from placement.testing import SolverContract
>>> class TestMine(SolverContract):
...     def solver(self):
...         return Mine()

Every test runs on a handful of tiny problems, each named after what is difficult about it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from objectives.pipeline.terms import Terms

from .kinds.pipeline.problem import PipelineProblem, problem_of
from .readers.cluster.read import read_request
from .search.loop import Outcome, run
from .search.solver import IntArray, NotApplicableError, Proposal, Solver
from .search.stop import StoppedBy, max_evaluations

ROUNDS = 3
EVALUATIONS = 1_500
LINK = {"bandwidth": "1 Gbit/s", "latency": "1 ms"}


def tiny(custom: Callable[[Terms], float] | None = None, **keys: Any) -> PipelineProblem:
    """Eight blocks on three measured nodes; `keys` override those of the cluster file."""
    layer = {"name": "layer", "repeat": 6, "weights": "400 MiB", "kv_per_token": "4 KiB"}
    blocks: list[dict[str, Any]] = [
        {"name": "embed", "weights": "100 MiB", "activation_per_token": "8 KiB"},
        {**layer, "activation_per_token": "8 KiB"},
        {"name": "head", "weights": "100 MiB", "activation_per_token": "8 KiB"},
    ]
    data: dict[str, Any] = {
        "model": {"name": "tiny", "blocks": blocks, **keys.pop("model", {})},
        "workload": {"prompt_tokens": 64, "output_tokens": 32, "concurrency": 4},
        "nodes": [node("a", 2.0, 0.010), node("b", 2.0, 0.015), node("c", 4.0, 0.030)],
        "network": {"within": {"default": LINK}},
    }
    return problem_of(read_request({**data, **keys}), custom)


def node(name: str, gib: float, seconds: float) -> dict[str, Any]:
    """A measured node."""
    return {
        "name": name, "memory": f"{gib} GiB", "price": "1 $/h", "decode_seconds_per_block": seconds,
        "prefill_seconds_per_block": 5 * seconds,
    }  # fmt: skip


def mean_of_two(terms: Terms) -> float:
    """A custom objective: plain Python, not a weighted sum of terms."""
    return float(np.sqrt(terms.values["latency"] * terms.values["ttft"]))


PROBLEMS: Mapping[str, Callable[[], PipelineProblem]] = {
    "three nodes": tiny,
    "two nodes": lambda: tiny(nodes=[node("a", 2.0, 0.010), node("b", 2.0, 0.020)]),
    "tight memory": lambda: tiny(nodes=[node("a", 1.4, 0.010), node("b", 1.0, 0.020), node("c", 0.6, 0.030)]),
    "slow link": lambda: tiny(
        network={
            "within": {"default": LINK},
            "links": [{"nodes": ["a", "b"], "bandwidth": "1 Mbit/s", "latency": "80 ms"}],
        }
    ),
    "tied embeddings": lambda: tiny(model={"ties": [["embed", "head"]]}),
    "forbidden cuts": lambda: tiny(model={"forbidden_cuts": [1, 3, 5]}),
    "pinned": lambda: tiny(pins={"embed": "c", "head": "a"}),
    "at most two": lambda: tiny(max_nodes=2, include=["b"]),
    "throughput": lambda: tiny(objective="throughput"),
    "mix with a limit": lambda: tiny(objective={"latency": 1.0, "price": 0.01}, limits={"ttft": "2 s"}),
    "custom": lambda: tiny(custom=mean_of_two),
}


class SolverContract:
    """What every solver must keep; inherit it and return one from `solver`."""

    def solver(self) -> Solver:
        """Return the solver under test."""
        raise NotImplementedError

    @pytest.fixture(params=list(PROBLEMS))
    def problem(self, request: pytest.FixtureRequest) -> PipelineProblem:
        """One tiny problem after the other."""
        return PROBLEMS[request.param]()

    def rounds(self, problem: PipelineProblem, seed: int = 0) -> list[Proposal]:
        """The first rounds; none where the solver says that it does not apply."""
        rng = np.random.default_rng(seed)
        return list(itertools.islice(_applied(self.solver(), problem, rng, problem.starts()), ROUNDS))

    def outcome(self, problem: PipelineProblem, **options: Any) -> Outcome:
        """A run of at most `EVALUATIONS`, or until the solver ends."""
        return run(
            problem, _Applied(self.solver()), rng=np.random.default_rng(0), start=problem.starts(),
            stop=max_evaluations(EVALUATIONS), **options,
        )  # fmt: skip

    def test_proposals_are_placements(self, problem: PipelineProblem) -> None:
        """Every genome stands for spans that hold each block exactly once."""
        for proposal in self.rounds(problem):
            assert proposal.genomes.dtype == np.int64
            assert proposal.genomes.shape[1:] == (problem.genome_size,)
            for genome in proposal.genomes:
                spans = problem.decode(genome)
                held = [block for span in spans for block in range(span.start, span.stop)]
                assert held == list(range(problem.tables.n_blocks))
                assert all(0 <= span.node < problem.tables.n_nodes for span in spans)

    def test_evaluations_are_counted(self, problem: PipelineProblem) -> None:
        """Rounds tell how many placements they scored; who proves nothing must have scored some."""
        rounds = self.rounds(problem)
        assert all(proposal.evaluations >= 0 for proposal in rounds)
        proven = any(np.isfinite(proposal.bound) for proposal in rounds)
        assert not rounds or proven or sum(proposal.evaluations for proposal in rounds) > 0

    def test_same_seed_same_rounds(self, problem: PipelineProblem) -> None:
        """The generator that is passed in is the only source of chance."""
        for one, two in zip(self.rounds(problem, 5), self.rounds(problem, 5), strict=True):
            assert np.array_equal(one.genomes, two.genomes)
            assert (one.evaluations, one.bound, one.solver) == (two.evaluations, two.bound, two.solver)

    def test_starts_are_left_alone(self, problem: PipelineProblem) -> None:
        """A solver copies what it changes."""
        start = problem.starts()
        before = start.copy()
        for _ in itertools.islice(_applied(self.solver(), problem, np.random.default_rng(0), start), ROUNDS):
            assert np.array_equal(start, before)

    def test_never_worse_than_its_starts(self, problem: PipelineProblem) -> None:
        """The best placement of a run is at least as good as every start, and respects pins, cuts and ties."""
        outcome = self.outcome(problem)
        for genome in problem.starts():
            score = problem.score(problem.decode(genome))
            assert (outcome.score.violation, outcome.score.cost) <= (score.violation, score.cost + 1e-12)
        assert outcome.score.violation == 0
        assert problem.details(outcome.spans)[1].total == 0

    def test_bounds_are_bounds(self, problem: PipelineProblem) -> None:
        """No placement of a search beats a bound that the solver claims."""
        bound = max((proposal.bound for proposal in self.rounds(problem)), default=-np.inf)
        assert bound <= self.outcome(problem, prove=False).score.cost * (1 + 1e-9)

    def test_it_stops(self, problem: PipelineProblem) -> None:
        """A run ends soon after its evaluations are spent, and says why."""
        outcome = self.outcome(problem)
        assert outcome.stopped_by in (StoppedBy.EVALUATIONS, StoppedBy.EXHAUSTED, StoppedBy.OPTIMAL)


class _Applied:
    """A solver that ends at once where the one inside does not apply."""

    def __init__(self, solver: Solver) -> None:
        self.inner = solver

    def search(self, problem: Any, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        return _applied(self.inner, problem, rng, start)


def _applied(solver: Solver, problem: Any, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
    try:
        yield from solver.search(problem, rng, start)
    except NotApplicableError:
        return
