"""Stopping criteria: pure functions of progress, so a used one is as good as a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ..errors import InputError


class StoppedBy(Enum):
    """Why a run ended; the value is the message for people."""

    OPTIMAL = "the optimum is proven"
    EXHAUSTED = "the solver has nothing left to try"
    TIME = "the time limit was reached"
    EVALUATIONS = "the limit on evaluations was reached"
    TARGET = "the target value was reached"
    STALLED = "no improvement for a while"
    CUSTOM = "the stopping criterion given by the caller"
    INTERRUPTED = "interrupted by the user"


@dataclass(frozen=True, slots=True)
class Progress:
    """What a stopping criterion may look at.

    Attributes
    ----------
    seconds : float
        Since the search began.
    evaluations : int
        Placements scored so far.
    cost : float
        Best cost so far (minimised), infinite before the first feasible placement.
    bound : float
        Proven lower bound on the cost, minus infinity when there is none.
    violation : float
        Of the best placement so far; 0 is feasible.
    since_improvement_s : float
        Seconds since the best placement last changed.
    share : float
        Part of the time limit that is over; 0 where there is no limit.
    doing : str
        What goes on, for people, where it is not the search for the best cost; `share` is how far it is then.
    """

    seconds: float
    evaluations: int
    cost: float
    bound: float
    violation: float
    since_improvement_s: float
    share: float = 0.0
    doing: str = ""

    @property
    def gap(self) -> float:
        """Relative gap to the bound; infinite while there is none."""
        if self.violation > 0 or not self.bound > 0:
            return 0.0 if self.violation == 0 and self.bound >= self.cost else float("inf")
        return max(0.0, self.cost / self.bound - 1.0)


Stop = Callable[[Progress], StoppedBy | bool | None]


def ensure_seconds(time_limit: float) -> None:
    """Raise InputError unless a search that a user asks for has some time."""
    if not time_limit > 0:
        raise InputError(f"expected a positive number of seconds, got {time_limit}", "time_limit")


def never(_: Progress) -> None:
    """Go on until the solver ends or the optimum is proven."""


def time_limit(seconds: float) -> Stop:
    """Stop after `seconds`."""
    return lambda progress: StoppedBy.TIME if progress.seconds >= seconds else None


def max_evaluations(number: int) -> Stop:
    """Stop once `number` placements were scored."""
    return lambda progress: StoppedBy.EVALUATIONS if progress.evaluations >= number else None


def target(cost: float) -> Stop:
    """Stop at a feasible placement that costs at most `cost`."""
    return lambda progress: StoppedBy.TARGET if progress.violation == 0 and progress.cost <= cost else None


def stalled(seconds: float) -> Stop:
    """Stop when nothing has improved for `seconds`."""
    return lambda progress: StoppedBy.STALLED if progress.since_improvement_s >= seconds else None


def first(*criteria: Stop) -> Stop:
    """Stop as soon as any of the criteria does; the first one that does is the reason."""

    def any_of(progress: Progress) -> StoppedBy | bool | None:
        return next((verdict for verdict in (stop(progress) for stop in criteria) if verdict), None)

    return any_of
