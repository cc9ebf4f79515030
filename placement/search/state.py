"""How a run stands: what was proposed, scored by the kernels; the best of it, the front, the bound, the trace."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import PlacementError
from .problem import IntArray, Problem, Score, Spans
from .solver import Proposal
from .stop import Progress

CONTRADICTION = 1e-6  # part by which a claimed bound may lie above a feasible cost: rounding, no more
MOST_PARETO = 400
BESTS = 20  # improvements that are kept, in case the reference refuses the last one
MOST_SEEN = 100_000  # genomes that are remembered, so that none is scored twice
BOUND_STEP = 1e-3  # part of the bound by which it must rise for the trace to show it


class FalseScoreError(PlacementError):
    """The kernels' cost of the best placement is not the reference's: one of the two is wrong."""


class FalseBoundError(PlacementError):
    """A bound or a whole front was claimed that a feasible placement contradicts: whoever claimed it is wrong."""


@dataclass(frozen=True, slots=True)
class TracePoint:
    """An improvement of the cost or of the bound: when it came, after how many evaluations, and both then."""

    seconds: float
    evaluations: int
    cost: float
    violation: float
    bound: float


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A placement that no other one found dominates, with its values (minimised) of the objectives."""

    spans: Spans
    values: tuple[float, ...]


@dataclass
class State:
    """Mutable: the loop's own."""

    problem: Problem
    clock: Callable[[], float]
    limit_s: float = math.inf
    cost: float = np.inf
    violation: float = np.inf
    bests: deque[tuple[IntArray, float, float]] = field(default_factory=lambda: deque(maxlen=BESTS))
    bound: float = -np.inf
    evaluations: int = 0
    improved_s: float = 0.0
    winner: str = ""
    remark: str = ""
    trace: list[TracePoint] = field(default_factory=list)
    archive: dict[Spans, npt.NDArray[np.float64]] = field(default_factory=dict)
    finalists: dict[Spans, None] = field(default_factory=dict)
    term_bounds: dict[str, float] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    whole_front: float | None = None

    def take(self, proposal: Proposal) -> None:
        """Count a proposal in: genomes, bounds, finalists, a whole front."""
        self.evaluations += proposal.evaluations
        self.raise_bound(proposal.bound)
        self.remark = proposal.remark or self.remark
        self.consider(proposal.genomes, proposal.solver)
        for genome in () if proposal.finalists is None else proposal.finalists:
            spans = self.problem.decode(genome)
            self.finalists.pop(spans, None)  # the last one named is to be the last
            self.finalists[spans] = None
        for name, term_bound in proposal.term_bounds.items():
            self.term_bounds[name] = max(term_bound, self.term_bounds.get(name, -np.inf))
        if proposal.whole_front is not None and self.problem.objective.pareto:
            self.settle(proposal.genomes, proposal.whole_front)

    def raise_bound(self, bound: float) -> None:
        """Keep the best bound; the trace shows a rise that counts."""
        if bound <= self.bound:
            return
        self.bound = bound
        if self.trace and not bound <= self.trace[-1].bound + BOUND_STEP * abs(self.trace[-1].bound):
            self.record()

    def consider(self, genomes: IntArray, solver: str) -> None:
        """Score genomes that were not seen yet, by the kernels; keep the best, and the front."""
        fresh = self.unseen(genomes)
        if not len(fresh):
            return
        costs, violations = self.problem.evaluate(fresh)
        for genome, cost, violation in zip(fresh, costs.tolist(), violations.tolist(), strict=True):
            if (violation, cost) < (self.violation, self.cost):
                self.cost, self.violation, self.winner = cost, violation, solver
                self.bests.append((genome, cost, violation))
                self.improved_s = self.clock()
                self.record()
        if self.problem.objective.pareto and (violations == 0).any():
            feasible = fresh[violations == 0]
            for genome, values in zip(feasible, self.traded(self.problem.terms(feasible)[0]), strict=True):
                self.offer(self.problem.decode(genome), values)

    def unseen(self, genomes: IntArray) -> IntArray:
        """The genomes that come for the first time (or were forgotten since), in their order."""
        rows = []
        for genome in genomes:
            mark = genome.tobytes()
            if mark in self.seen:
                continue
            if len(self.seen) > MOST_SEEN:
                self.seen.clear()
            self.seen.add(mark)
            rows.append(genome)
        return np.array(rows, dtype=np.int64)

    def settle(self, genomes: IntArray, part: float) -> None:
        """Let a whole front take the place of what was collected; refuse one that a placement contradicts."""
        scored = {spans: self.problem.score(spans) for spans in map(self.problem.decode, genomes)}
        kept = {spans: self.traded(score.values) for spans, score in scored.items() if score.violation == 0}
        table = np.array(list(kept.values())).reshape(len(kept), -1)
        for values in self.archive.values():
            if not (table <= values * (1.0 + part) * (1.0 + CONTRADICTION)).all(axis=1).any():
                raise FalseBoundError(f"a front was called whole, but a placement found before it has {values}")
        self.archive, self.whole_front = kept, part

    def traded(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Of term values (..., T), those of the objectives that are traded."""
        names = self.problem.objective.terms.names
        return values[..., [names.index(name) for name in self.problem.objective.pareto]]

    def offer(self, spans: Spans, values: npt.NDArray[np.float64]) -> None:
        """Take a placement into the front unless another one is as good in everything."""
        if self.archive:
            others, table = list(self.archive), np.array(list(self.archive.values()))
            if (table <= values).all(axis=1).any():
                return
            for k in np.flatnonzero((values <= table).all(axis=1)):
                del self.archive[others[k]]
        if len(self.archive) < MOST_PARETO:
            self.archive[spans] = values

    def record(self) -> None:
        """Put how things stand into the trace."""
        point = TracePoint(self.clock(), self.evaluations, self.cost, self.violation, self.bound)
        self.trace.append(point)

    def progress(self) -> Progress:
        """How things stand, for solvers, criteria and people."""
        now = self.clock()
        share = min(1.0, now / self.limit_s) if self.limit_s < math.inf else 0.0
        return Progress(now, self.evaluations, self.cost, self.bound, self.violation, now - self.improved_s, share)

    def confirmed(self) -> tuple[Spans, Score]:
        """The best placement with its reference score; refuse a cost of the kernels that this one contradicts.

        One that lies on a limit may break it by a rounding error in one of the two: the one before it is taken then.
        """
        spans: Spans = ()
        score = Score(np.inf, np.inf, np.empty(0))
        for genome, cost, violation in reversed(self.bests):
            spans = self.problem.decode(genome)
            score = self.problem.score(spans)
            self.ensure_alike(score, cost, violation)
            if (score.violation > 0) == (violation > 0):
                break
        self.cost, self.violation = score.cost, score.violation
        self.ensure_honest()
        return spans, score

    @staticmethod
    def ensure_alike(score: Score, cost: float, violation: float) -> None:
        """Refuse what the kernels say of a placement if the reference says something else."""
        if violation > 0 and score.violation > 0:  # how far from feasible is a matter of taste
            return
        alike = math.isclose(score.cost, cost, rel_tol=CONTRADICTION)
        if not alike or abs(score.violation - violation) > CONTRADICTION:
            raise FalseScoreError(
                f"a placement was scored {cost:.9g} (violation {violation:.3g}) by the search, but {score.cost:.9g} "
                f"(violation {score.violation:.3g}) by the reference"
            )

    def ensure_honest(self) -> None:
        """Refuse a bound that the best feasible placement contradicts."""
        cost = self.cost
        if self.violation > 0 or self.problem.objective.pareto:
            return
        if self.bound > cost + CONTRADICTION * max(abs(cost), 1e-300):
            raise FalseBoundError(
                f"a false bound was claimed: no cost below {self.bound:.6g}, but a feasible placement costs {cost:.6g}"
            )
