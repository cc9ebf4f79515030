"""Exact search of contiguous pipelines by dynamic programming over multisets of node types; see `kernels/subset.py`.

What is proven, and how:

- sums over stages and hops (latency, prompt time, rent, energy, weighted sums of them): one table;
- with limits on such sums: Lagrangian bound, then labels where a gap is left (`kernels/labels.py`);
- throughput and bottleneck: caps on the busy time of stages and links turn "better than X" into an additive question;
- mixes and limits that include them: branch and bound over ranges of their values;
- a tie of the first block to a later one: branch and bound over the length of the tied node's first run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from objectives.combine import RATES
from placement.search.problem import Problem
from placement.search.solver import IntArray, NotApplicableError, Proposal

from ..exact.mix import best_mix
from ..exact.rates import best_bottleneck, best_throughput
from ..exact.search import Question
from ..exact.ties import Engine
from ..exact.work import Search, follow, lowered
from ..problem import PipelineProblem


@dataclass(frozen=True)
class Exact:
    """Hyper-parameters.

    Attributes
    ----------
    most_entries : int
        Largest table, in numbers of 8 bytes.
    """

    most_entries: int = 60_000_000

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield better placements and bounds until the optimum is proven or nothing more can be."""
        if not isinstance(problem, PipelineProblem) or not problem.compiled:
            raise NotApplicableError("exact needs a pipeline problem with a built-in objective")
        yield Proposal(start[:1])
        try:
            search = Search(problem, self.engine(problem), start)
        except NotApplicableError:
            # Too many states: what is left is the bound.
            yield Proposal(start[:1], 0, problem.lower_bound())
            return
        yield from _proofs(search)

    def engine(self, problem: PipelineProblem) -> Engine:
        """Build the tables; raise `NotApplicableError` when they would be too large or do not cover the problem."""
        if not problem.tables.contiguous:
            raise NotApplicableError("exact needs contiguous pipelines")
        objective = problem.objective
        if len({*objective.weights, *objective.limits}.intersection(RATES)) > 1:
            raise NotApplicableError("exact proves one rate at a time, throughput or decode_rate")
        most_price = problem.objective.limits.get("price", np.inf)
        return Engine(problem.tables, problem.width, self.most_entries, most_price)


def _proofs(search: Search) -> Generator[Proposal, None, None]:
    mixed = search.most_rate < np.inf and not search.rate
    if search.plain and not mixed:
        question = Question(search.additive, search.caps(), search.limits)
        answer = yield from follow(search, question)
        yield search.tell(lowered(answer.bound))
    elif len(search.weights) == 1 and search.rate:
        yield from best_throughput(search)
    elif len(search.weights) == 1 and search.peak and not mixed:
        yield from best_bottleneck(search)
    else:
        yield from best_mix(search)
