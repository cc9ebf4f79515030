"""The contract of solvers, as tests to inherit.

>>> from placement.testing import SolverContract
>>> class TestMine(SolverContract):
...     def solver(self):
...         return Mine()

Every test runs on a handful of tiny problems of every kind, each named after what is difficult about it. A solver that
does not apply to a problem skips its tests there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from objectives.pipeline.terms import Terms
from objectives.spans import Span

from .kinds.asked import ask
from .kinds.pipeline.problem import PipelineProblem
from .search.loop import Outcome, run
from .search.problem import Problem
from .search.solver import IntArray, NotApplicableError, Proposal, Solver
from .search.stop import StoppedBy, max_evaluations

ROUNDS = 3
EVALUATIONS = 800
LINK = {"bandwidth": "1 Gbit/s", "latency": "1 ms"}


def tiny_file(**keys: Any) -> dict[str, Any]:
    """A cluster file of eight blocks on three measured nodes; `keys` override its own."""
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
    return {**data, **keys}


def tiny(custom: Callable[[Terms], float] | None = None, **keys: Any) -> PipelineProblem:
    """The pipeline problem of such a file."""
    problem = problem_of_file(tiny_file(**keys), custom)
    assert isinstance(problem, PipelineProblem)
    return problem


def problem_of_file(data: Mapping[str, Any], objective: Any = None) -> Problem:
    """The problem of a document of any kind."""
    (task,) = ask(None, data, objective=objective).tasks()
    return task.problem


def node(name: str, gib: float, seconds: float) -> dict[str, Any]:
    """A measured node."""
    return {
        "name": name,
        "memory": f"{gib} GiB",
        "price": "1 $/h",
        "decode_seconds_per_block": seconds,
        "prefill_seconds_per_block": 5 * seconds,
    }


def several(**keys: Any) -> dict[str, Any]:
    """The same as a replicated placement on five nodes."""
    nodes = [node("a", 2.0, 0.010), node("b", 2.0, 0.015), node("c", 4.0, 0.030), node("d", 4.0, 0.020)]
    return tiny_file(**{"placement": "replicated", "nodes": [*nodes, node("e", 1.0, 0.010)], **keys})


def fleet(**keys: Any) -> dict[str, Any]:
    """A fleet of five unlike servers and six blocks."""
    servers = [
        {"id": f"s{k}", "memory_gb": memory, "tau_c_s": 0.3 + 0.05 * k, "tau_p_s": seconds}
        for k, (memory, seconds) in enumerate([(12.0, 0.05), (6.0, 0.1), (6.0, 0.2), (4.0, 0.15), (9.0, 0.08)])
    ]
    data = {"num_blocks": 6, "block_gb": 1.0, "cache_gb_per_block_job": 0.3, "lambda_per_s": 0.4, "servers": servers}
    return {**data, **keys}


def swarm(**keys: Any) -> dict[str, Any]:
    """Six servers at three sites with spans that overlap."""
    spans = [("a", "0:5"), ("b", "4:8"), ("c", "0:8"), ("a", "5:8"), ("b", "0:4"), ("c", "2:8")]
    servers = [
        {"name": f"s{k}", "site": site, "blocks": blocks, "ms_per_block": 1.0 + k, "tokens_per_s": 4.0 + 3.0 * (k % 4)}
        for k, (site, blocks) in enumerate(spans)
    ]
    rtt = {"a": {"b": 20, "c": 80}, "b": {"c": 60}}
    return {"blocks": 8, "client": {"site": "a"}, "servers": servers, "rtt_ms": rtt, **keys}


def mean_of_two(terms: Terms) -> float:
    """A custom objective: plain Python, not a weighted sum of terms."""
    return float(np.sqrt(terms.values["latency"] * terms.values["ttft"]))


def exactly_once(problem: Any, spans: Sequence[Span]) -> bool:
    """Every block is held once."""
    return [block for span in spans for block in range(span.start, span.stop)] == list(range(spans[-1].stop))


def one_span_each(problem: Any, spans: Sequence[Span]) -> bool:
    """No node holds two spans, and no span is empty."""
    most = max(Counter(span.node for span in spans).values(), default=1)
    return most == 1 and all(span.stop > span.start >= 0 for span in spans)


@dataclass(frozen=True)
class Example:
    """A tiny question: what the document is, its objective, and what makes spans a placement of its kind."""

    document: Mapping[str, Any]
    objective: Any = None
    valid: Callable[[Any, Sequence[Span]], bool] = exactly_once

    def problem(self) -> Problem:
        """What solvers see."""
        return problem_of_file(self.document, self.objective)


SLOW_LINK = {
    "within": {"default": LINK},
    "links": [{"nodes": ["a", "b"], "bandwidth": "1 Mbit/s", "latency": "80 ms"}],
}
TIGHT = [node("a", 1.4, 0.010), node("b", 1.0, 0.020), node("c", 0.6, 0.030)]
EXAMPLES: Mapping[str, Example] = {
    "three nodes": Example(tiny_file()),
    "two nodes": Example(tiny_file(nodes=[node("a", 2.0, 0.010), node("b", 2.0, 0.020)])),
    "tight memory": Example(tiny_file(nodes=TIGHT)),
    "slow link": Example(tiny_file(network=SLOW_LINK)),
    "tied embeddings": Example(tiny_file(model={"ties": [["embed", "head"]]})),
    "forbidden cuts": Example(tiny_file(model={"forbidden_cuts": [1, 3, 5]})),
    "pinned": Example(tiny_file(pins={"embed": "c", "head": "a"})),
    "at most two": Example(tiny_file(max_nodes=2, include=["b"])),
    "throughput": Example(tiny_file(objective="throughput")),
    "mix with a limit": Example(tiny_file(objective={"latency": 1.0, "price": 0.01}, limits={"ttft": "2 s"})),
    "custom": Example(tiny_file(), mean_of_two),
    "replicated, flow": Example(several(), "flow", one_span_each),
    "replicated, served": Example(several(), "served", one_span_each),
    "replicated, two holders": Example(several(min_replicas=2), "served", one_span_each),
    "replicated, price": Example(several(limits={"flow": "1 token/s"}), "price", one_span_each),
    "sessions, rate": Example(fleet(), "rate", one_span_each),
    "sessions, response": Example(fleet(), "response", one_span_each),
    "routes, latency": Example(swarm(), "latency"),
    "routes, throughput": Example(swarm(), "throughput"),
}


@dataclass(frozen=True)
class Trial:
    """What one solver did on one example: its first rounds, twice from one seed, and a run.

    Attributes
    ----------
    problem : Problem
    start : int array (n, G)
        Constructive genomes, as they were before any search.
    after : int array (n, G)
        The same array after the searches.
    rounds, again : list of Proposal
        First rounds with equal generators.
    outcome : Outcome
        Of a run of at most `EVALUATIONS`, or until the solver ended; proofs did not end it.
    """

    problem: Any
    start: IntArray
    after: IntArray
    rounds: list[Proposal]
    again: list[Proposal]
    outcome: Outcome


TRIALS: dict[tuple[str, str], Trial | NotApplicableError] = {}  # seven claims look at each


def trial(solver: Solver, name: str) -> Trial:
    """Try a solver on an example, once; raise `NotApplicableError` where it does not apply."""
    key = (repr(solver), name)
    if key not in TRIALS:
        try:
            TRIALS[key] = _tried(solver, EXAMPLES[name].problem())
        except NotApplicableError as error:
            TRIALS[key] = error
    found = TRIALS[key]
    if isinstance(found, NotApplicableError):
        raise found
    return found


def _tried(solver: Solver, problem: Any) -> Trial:
    start = problem.starts()
    before = start.copy()
    one, two = (
        list(itertools.islice(solver.search(problem, np.random.default_rng(5), start), ROUNDS)) for _ in range(2)
    )
    stop = max_evaluations(EVALUATIONS)
    outcome = run(problem, solver, rng=np.random.default_rng(0), start=start, stop=stop, prove=False)
    return Trial(problem, before, start, one, two, outcome)


class SolverContract:
    """What every solver must keep; inherit it and return one from `solver`."""

    def solver(self) -> Solver:
        """Return the solver under test."""
        raise NotImplementedError

    @pytest.fixture(params=list(EXAMPLES))
    def example(self, request: pytest.FixtureRequest) -> str:
        """The name of one tiny question after the other."""
        return str(request.param)

    @pytest.fixture
    def tried(self, example: str) -> Trial:
        """What the solver did there; skipped where it says that it does not apply."""
        try:
            return trial(self.solver(), example)
        except NotApplicableError as error:
            pytest.skip(f"does not apply: {error}")

    def test_proposals_are_placements(self, example: str, tried: Trial) -> None:
        """Every genome stands for spans that are a placement of its kind."""
        problem, valid = tried.problem, EXAMPLES[example].valid
        for proposal in tried.rounds:
            assert proposal.genomes.dtype == np.int64
            assert proposal.genomes.shape[1:] == (problem.genome_size,)
            assert all(valid(problem, problem.decode(genome)) for genome in proposal.genomes)

    def test_evaluations_are_counted(self, tried: Trial) -> None:
        """Rounds tell how many placements they scored; who proves nothing must have scored some."""
        rounds = tried.rounds
        assert all(proposal.evaluations >= 0 for proposal in rounds)
        proven = any(np.isfinite(proposal.bound) or proposal.term_bounds for proposal in rounds)
        proven = proven or any(proposal.whole_front is not None for proposal in rounds)
        assert not rounds or proven or sum(proposal.evaluations for proposal in rounds) > 0

    def test_same_seed_same_rounds(self, tried: Trial) -> None:
        """The generator that is passed in is the only source of chance."""
        for one, two in zip(tried.rounds, tried.again, strict=True):
            assert np.array_equal(one.genomes, two.genomes)
            assert (one.evaluations, one.bound, one.solver) == (two.evaluations, two.bound, two.solver)

    def test_starts_are_left_alone(self, tried: Trial) -> None:
        """A solver copies what it changes."""
        assert np.array_equal(tried.start, tried.after)

    def test_never_worse_than_its_starts(self, tried: Trial) -> None:
        """The best placement of a run is at least as good as every start, and keeps every rule of the question."""
        problem, score = tried.problem, tried.outcome.score
        for genome in tried.start:
            other = problem.score(problem.decode(genome))
            assert (score.violation, score.cost) <= (other.violation, other.cost + 1e-12)
        assert score.violation == 0
        again = problem.score(tried.outcome.spans)
        assert (again.cost, again.violation) == (score.cost, 0.0)

    def test_bounds_are_bounds(self, tried: Trial) -> None:
        """No placement of a search beats a bound that the solver claims."""
        bound = max((proposal.bound for proposal in tried.rounds), default=-np.inf)
        assert bound <= tried.outcome.score.cost * (1 + 1e-9)

    def test_it_stops(self, tried: Trial) -> None:
        """A run ends soon after its evaluations are spent, and says why."""
        assert tried.outcome.stopped_by in (StoppedBy.EVALUATIONS, StoppedBy.EXHAUSTED, StoppedBy.OPTIMAL)
