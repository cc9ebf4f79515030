"""The one loop: advance the solver, re-score what it claims, record, stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .problem import Problem, Score, Spans
from .solver import IntArray, NotApplicableError, Solver
from .stop import Progress, Stop, StoppedBy, first, time_limit

OPTIMAL_GAP = 1e-9
SHOW_EVERY_S = 0.1
MOST_PARETO = 400
BOUND_STEP = 1e-3  # part of the bound by which it must rise for the trace to show it


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run ended with.

    Attributes
    ----------
    spans : tuple of Span
        The best placement: least violation, then least cost.
    score : Score
        By the reference objective.
    bound : float
        Proven lower bound on the cost; minus infinity when there is none.
    winner : str
        Which part of a portfolio found the best placement; empty for a plain solver.
    remark : str
        What a solver said about its proofs.
    """

    spans: Spans
    score: Score
    bound: float
    evaluations: int
    seconds: float
    stopped_by: StoppedBy
    trace: tuple[TracePoint, ...]
    pareto: tuple[ParetoPoint, ...] = ()
    winner: str = ""
    remark: str = ""


@dataclass
class _State:
    problem: Problem
    clock: Callable[[], float]
    spans: Spans = ()
    score: Score = field(default_factory=lambda: Score(np.inf, np.inf, np.empty(0)))
    bound: float = -np.inf
    evaluations: int = 0
    improved_s: float = 0.0
    winner: str = ""
    remark: str = ""
    trace: list[TracePoint] = field(default_factory=list)
    archive: dict[Spans, npt.NDArray[np.float64]] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)

    def raise_bound(self, bound: float) -> None:
        if bound <= self.bound:
            return
        self.bound = bound
        if self.trace and not bound <= self.trace[-1].bound + BOUND_STEP * abs(self.trace[-1].bound):
            self.record()

    def consider(self, genomes: IntArray, solver: str) -> None:
        for genome in genomes:
            mark = genome.tobytes()
            if mark in self.seen:
                continue
            if len(self.seen) > 100_000:
                self.seen.clear()
            self.seen.add(mark)
            spans = self.problem.decode(genome)
            score = self.problem.score(spans)
            if (score.violation, score.cost) < (self.score.violation, self.score.cost):
                self.spans, self.score, self.winner = spans, score, solver
                self.improved_s = self.clock()
                self.record()
            if self.problem.objective.pareto and score.violation == 0:
                self.offer(spans, score)

    def offer(self, spans: Spans, score: Score) -> None:
        names = self.problem.objective.terms.names
        values = score.values[[names.index(name) for name in self.problem.objective.pareto]]
        for other in list(self.archive):
            if (self.archive[other] <= values).all():
                return
            if (values <= self.archive[other]).all():
                del self.archive[other]
        if len(self.archive) < MOST_PARETO:
            self.archive[spans] = values

    def record(self) -> None:
        point = TracePoint(self.clock(), self.evaluations, self.score.cost, self.score.violation, self.bound)
        self.trace.append(point)

    def progress(self) -> Progress:
        now = self.clock()
        return Progress(now, self.evaluations, self.score.cost, self.bound, self.score.violation, now - self.improved_s)


def run(
    problem: Problem,
    solver: Solver,
    *,
    rng: np.random.Generator,
    start: IntArray,
    stop: Stop,
    bound: float = -np.inf,
    show: Callable[[Progress], None] | None = None,
    prove: bool = True,
) -> Outcome:
    """Run a solver until it is done, the optimum is proven, or `stop` says so.

    Ctrl-C ends the run like any other criterion: the best placement so far is returned, `stopped_by` says so.

    Parameters
    ----------
    start : int array (n, G)
        Genomes to begin from; they are scored first, so no solver is worse than its starts.
    bound : float
        Proven lower bound known beforehand.
    show : callable, optional
        Called with the progress a few times a second.
    prove : bool
        Stop as soon as cost and bound meet.
    """
    began = time.perf_counter()
    state = _State(problem, lambda: time.perf_counter() - began, bound=bound)
    stopped = StoppedBy.EXHAUSTED
    shown = -np.inf
    try:
        state.evaluations += len(start)
        state.consider(start, "start")
        for proposal in solver.search(problem, rng, start):
            state.evaluations += proposal.evaluations
            state.raise_bound(proposal.bound)
            state.remark = proposal.remark or state.remark
            state.consider(proposal.genomes, proposal.solver)
            progress = state.progress()
            if show is not None and progress.seconds - shown >= SHOW_EVERY_S:
                show(progress)
                shown = progress.seconds
            if prove and not problem.objective.pareto and progress.gap <= OPTIMAL_GAP:
                stopped = StoppedBy.OPTIMAL
                break
            verdict = stop(progress)
            if verdict:
                stopped = verdict if isinstance(verdict, StoppedBy) else StoppedBy.CUSTOM
                break
        else:
            if state.progress().gap <= OPTIMAL_GAP and not problem.objective.pareto:
                stopped = StoppedBy.OPTIMAL
    except KeyboardInterrupt:
        stopped = StoppedBy.INTERRUPTED
    if show is not None:
        show(state.progress())
    state.record()
    return Outcome(
        spans=state.spans,
        score=state.score,
        bound=min(state.bound, state.score.cost) if state.score.violation == 0 else state.bound,
        evaluations=state.evaluations,
        seconds=state.clock(),
        stopped_by=stopped,
        trace=tuple(state.trace),
        pareto=tuple(ParetoPoint(spans, tuple(values)) for spans, values in state.archive.items()),
        winner=state.winner,
        remark=state.remark,
    )


def run_asked(
    problem: Problem,
    solver: Solver,
    name: str,
    *,
    seed: int,
    start: IntArray,
    seconds: float,
    stop: Stop | None = None,
    show: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Run a solver that a user has named, for so many seconds, with the problem's own bound.

    Raises
    ------
    InputError
        The solver does not apply to this problem.
    KeyboardInterrupt
        Ctrl-C came before the first placement was scored.
    """
    limit = time_limit(seconds)
    try:
        outcome = run(
            problem,
            solver,
            rng=np.random.default_rng(seed),
            start=start,
            stop=first(limit, stop) if stop else limit,
            bound=problem.lower_bound(),
            show=show,
        )
    except NotApplicableError as error:
        raise InputError(f"the solver '{name}' cannot work on this: {error}", "solver") from None
    if not outcome.spans:
        raise KeyboardInterrupt
    return outcome
