"""The one loop: advance the solver, re-score what it claims, record, stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import InputError, PlacementError
from .problem import IntArray, Problem, Score, Spans
from .solver import NotApplicableError, Proposal, Solver
from .stop import Progress, Stop, StoppedBy, never

OPTIMAL_GAP = 1e-9
CONTRADICTION = 1e-6  # part by which a claimed bound may lie above a feasible cost: rounding, no more
SHOW_EVERY_S = 0.1
MOST_PARETO = 400
BOUND_STEP = 1e-3  # part of the bound by which it must rise for the trace to show it


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
        Proven lower bound on the cost; minus infinity when there is none, infinity when it is proven that nothing is
        feasible.
    winner : str
        Which part of a portfolio found the best placement; empty for a plain solver.
    remark : str
        What a solver said about its proofs.
    finalists : tuple of tuple of Span
        Placements that the solver wants to have looked at more closely, the last one named last.
    whole_front : float or None
        The solver proved that nothing is missing in `pareto` that is better by more than this part; None: no proof.
    term_bounds : mapping of str to float
        Proven lower bounds (minimised) on single terms, by their names, where the solver proved some.
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
    finalists: tuple[Spans, ...] = ()
    whole_front: float | None = None
    term_bounds: Mapping[str, float] = field(default_factory=dict)


@dataclass
class _State:
    problem: Problem
    clock: Callable[[], float]
    limit_s: float = math.inf
    spans: Spans = ()
    score: Score = field(default_factory=lambda: Score(np.inf, np.inf, np.empty(0)))
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

    def settle(self, genomes: IntArray, part: float) -> None:
        """Let a whole front take the place of what was collected; refuse one that a placement contradicts."""
        scored = {spans: self.problem.score(spans) for spans in map(self.problem.decode, genomes)}
        kept = {spans: self.traded(score) for spans, score in scored.items() if score.violation == 0}
        table = np.array(list(kept.values())).reshape(len(kept), -1)
        for values in self.archive.values():
            if not (table <= values * (1.0 + part) * (1.0 + CONTRADICTION)).all(axis=1).any():
                raise FalseBoundError(f"a front was called whole, but a placement found before it has {values}")
        self.archive, self.whole_front = kept, part

    def traded(self, score: Score) -> npt.NDArray[np.float64]:
        """The values of the objectives that are traded."""
        names = self.problem.objective.terms.names
        values: npt.NDArray[np.float64] = score.values[[names.index(name) for name in self.problem.objective.pareto]]
        return values

    def offer(self, spans: Spans, score: Score) -> None:
        values = self.traded(score)
        if self.archive:
            others, table = list(self.archive), np.array(list(self.archive.values()))
            if (table <= values).all(axis=1).any():
                return
            for k in np.flatnonzero((values <= table).all(axis=1)):
                del self.archive[others[k]]
        if len(self.archive) < MOST_PARETO:
            self.archive[spans] = values

    def record(self) -> None:
        point = TracePoint(self.clock(), self.evaluations, self.score.cost, self.score.violation, self.bound)
        self.trace.append(point)

    def progress(self) -> Progress:
        now = self.clock()
        share = min(1.0, now / self.limit_s) if self.limit_s < math.inf else 0.0
        return Progress(
            now, self.evaluations, self.score.cost, self.bound, self.score.violation, now - self.improved_s, share
        )

    def ensure_honest(self) -> None:
        """Refuse a bound that the best feasible placement contradicts."""
        cost = self.score.cost
        if self.score.violation > 0 or self.problem.objective.pareto:
            return
        if self.bound > cost + CONTRADICTION * max(abs(cost), 1e-300):
            raise FalseBoundError(
                f"a false bound was claimed: no cost below {self.bound:.6g}, but a feasible placement costs {cost:.6g}"
            )


def run(
    problem: Problem,
    solver: Solver,
    *,
    rng: np.random.Generator,
    start: IntArray,
    stop: Stop = never,
    seconds: float = math.inf,
    bound: float | Callable[[], float] = -np.inf,
    show: Callable[[Progress], None] | None = None,
    prove: bool = True,
) -> Outcome:
    """Run a solver until it is done, the optimum is proven, time is over, or `stop` says so.

    Ctrl-C ends the run like any other criterion: the best placement so far is returned, `stopped_by` says so.

    Parameters
    ----------
    problem : Problem
    solver : Solver
    rng : Generator
        The only source of chance.
    start : int array (n, G)
        Genomes to begin from; they are scored first, so no solver is worse than its starts.
    stop : callable, optional
        See `stop.py`.
    seconds : float
        Time limit.
    bound : float or callable
        A proven lower bound; one that takes a while is asked for when the starts are scored and shown.
    show : callable, optional
        Called with the progress a few times a second.
    prove : bool
        Stop as soon as cost and bound meet.

    Raises
    ------
    FalseBoundError
        A bound was claimed that a feasible placement contradicts.
    """
    began = time.perf_counter()
    state = _State(problem, lambda: time.perf_counter() - began, seconds)
    proving = prove and not problem.objective.pareto
    try:
        stopped = _advance(state, solver, rng, start, stop, bound, show, proving)
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
        finalists=tuple(state.finalists),
        whole_front=state.whole_front,
        term_bounds=state.term_bounds,
    )


def _advance(
    state: _State,
    solver: Solver,
    rng: np.random.Generator,
    start: IntArray,
    stop: Stop,
    bound: float | Callable[[], float],
    show: Callable[[Progress], None] | None,
    proving: bool,
) -> StoppedBy:
    """Go round until something ends the run; return what."""
    state.evaluations += len(start)
    state.consider(start, "start")
    if show is not None and len(start):
        show(state.progress())
    state.raise_bound(bound() if callable(bound) else bound)
    state.ensure_honest()
    proposals = solver.search(state.problem, rng, start)
    answer = getattr(proposals, "send", None)  # a plain iterator does not listen
    shown, progress = -np.inf, None
    while (proposal := _next(proposals, answer, progress)) is not None:
        state.take(proposal)
        state.ensure_honest()
        progress = state.progress()
        if show is not None and progress.seconds - shown >= SHOW_EVERY_S:
            show(progress)
            shown = progress.seconds
        if proving and progress.gap <= OPTIMAL_GAP:
            return StoppedBy.OPTIMAL
        if progress.seconds >= state.limit_s:
            return StoppedBy.TIME
        verdict = stop(progress)
        if verdict:
            return verdict if isinstance(verdict, StoppedBy) else StoppedBy.CUSTOM
    proven = state.progress().gap <= OPTIMAL_GAP and not state.problem.objective.pareto
    return StoppedBy.OPTIMAL if proven else StoppedBy.EXHAUSTED


def _next(
    proposals: Iterator[Proposal], answer: Callable[[Progress | None], Proposal] | None, progress: Progress | None
) -> Proposal | None:
    """The next proposal, after telling the solver how things stand; None when it has nothing left to try."""
    try:
        return next(proposals) if answer is None or progress is None else answer(progress)
    except StopIteration:
        return None


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

    Parameters
    ----------
    problem : Problem
    solver : Solver
    name : str
        What the user called it, for errors.
    seed : int
    start : int array (n, G)
    seconds : float
    stop, show : callable, optional
        As for `run`.

    Raises
    ------
    InputError
        The solver does not apply to this problem.
    KeyboardInterrupt
        Ctrl-C came before the first placement was scored.
    """
    try:
        outcome = run(
            problem,
            solver,
            rng=np.random.default_rng(seed),
            start=start,
            stop=stop or never,
            seconds=seconds,
            bound=problem.lower_bound,
            show=show,
        )
    except NotApplicableError as error:
        raise InputError(f"the solver '{name}' cannot work on this: {error}", "solver") from None
    except FalseBoundError as error:
        raise FalseBoundError(f"the solver '{name}': {error}") from None
    if not outcome.spans:
        raise KeyboardInterrupt
    return outcome
