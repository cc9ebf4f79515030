"""State of one exact search: the best placement so far, the bound, and the parts of the objective."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from objectives.combine import RATES
from objectives.pipeline.additive import ADDITIVE, Limit, term_cost, weighted_cost
from objectives.pipeline.bounds import rate_name
from objectives.pipeline.node_types import Busy, Caps
from placement.search.problem import Score
from placement.search.solver import IntArray, Proposal

from ..problem import PipelineProblem
from .search import Answer, Question
from .ties import Engine

# A proven bound is lowered by this much, relative, so that rounding in another order cannot break it.
SLACK = 2e-10


@dataclass
class Search:
    """One search: the engine, the best placement so far, and the parts of the objective.

    Attributes
    ----------
    problem : PipelineProblem
    engine : Engine
    start : int array (n, G)
    """

    problem: PipelineProblem
    engine: Engine
    start: IntArray
    cost: float = np.inf
    genome: IntArray | None = None
    bound: float = -np.inf
    told: int = field(default=0)

    def __post_init__(self) -> None:
        limits = self.problem.objective.limits
        tables = self.problem.tables
        names = [name for name in ("latency", "ttft", "request_time", "energy") if name in limits]
        self.limits = tuple(Limit(term_cost(tables, name), limits[name]) for name in names)
        self.name = rate_name(self.problem.objective) or RATES[0]
        self.rates, self.steps_alone = tables.rounds(self.name), tables.rounds("decode_rate")
        self.busy = (Busy(self.steps_alone, 0, 0, limits["bottleneck"]),) if "bottleneck" in limits else ()
        self.weights = self.problem.objective.weights
        self.rate = self.weights.get(self.name, 0.0)
        self.peak = self.weights.get("bottleneck", 0.0)
        self.most_rate = 1.0 / limits[self.name] if self.name in limits else np.inf
        self.additive = weighted_cost(tables, self.weights)
        self.plain = all(name in ADDITIVE for name in self.weights)
        for genome in self.start:
            self.consider(genome)

    def consider(self, genome: IntArray) -> Score:
        """Score a genome by the reference, and keep it when it is the best feasible one."""
        score = self.problem.score(self.problem.decode(genome))
        if score.violation == 0 and score.cost < self.cost:
            self.cost, self.genome = score.cost, genome
        return score

    def caps(self, in_flight: int = 1, *busy: Busy) -> Caps:
        """Caps, with the limit on the bottleneck beside those given."""
        return Caps(in_flight, (*self.busy, *busy))

    def tell(self, bound: float = -np.inf) -> Proposal:
        """Report the best placement, the bound, and the work since the last report."""
        self.bound = max(self.bound, bound)
        genomes = self.start[:1] if self.genome is None else self.genome[None, :]
        # One evaluation for as many entries of the table as a score would look at.
        entries = self.engine.entries // self.engine.tables.n_blocks
        spent, self.told = entries - self.told, entries
        return Proposal(genomes, spent, self.bound)


def lowered(bound: float) -> float:
    """Lower a bound by the slack for rounding."""
    return bound - SLACK * abs(bound) if np.isfinite(bound) else bound


def follow(search: Search, question: Question, family: int | None = None) -> Generator[Proposal, None, Answer]:
    """Work on a question, reporting between rounds; return its answer, scored."""
    work = search.engine.answer(question, family)
    while True:
        try:
            genomes = next(work)
        except StopIteration as done:
            answer: Answer = done.value
            break
        for genome in genomes:
            search.consider(genome)
        yield search.tell()
    if answer.genome is not None:
        search.consider(answer.genome)
    return answer
