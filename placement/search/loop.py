"""The one loop: advance the solver, score what it proposes, record, stop.

While it runs, genomes are scored by the problem's kernels. The one that wins is scored once more by the reference code,
which may take a thousand times as long; a kernel that the reference contradicts ends the run with an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from objectives.clock import clock

from ..errors import InputError
from .problem import IntArray, Problem, Score, Spans
from .solver import NotApplicableError, Proposal, Solver
from .state import FalseBoundError, ParetoPoint, State, TracePoint
from .stop import Progress, Stop, StoppedBy, never

OPTIMAL_GAP = 1e-9
SHOW_EVERY_S = 0.1


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
    FalseScoreError
        The reference contradicts what the kernels say of the best placement.
    """
    began = clock.now()
    state = State(problem, lambda: clock.now() - began, seconds)
    proving = prove and not problem.objective.pareto
    try:
        stopped = _advance(state, solver, rng, start, stop, bound, show, proving)
    except KeyboardInterrupt:
        stopped = StoppedBy.INTERRUPTED
    if show is not None:
        show(state.progress())
    spans, score = state.confirmed()
    state.record()
    return Outcome(
        spans=spans,
        score=score,
        bound=min(state.bound, score.cost) if score.violation == 0 else state.bound,
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
    state: State,
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
