"""A look at questions before any of them is searched: which promises most, and a first plan within seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from objectives.clock import clock

from ..search.stop import Progress
from .base import Task


@dataclass
class Looks:
    """A look at each of several questions before one is searched.

    Attributes
    ----------
    seconds : float
        After which no further question is looked at.
    progress : callable or None
        Is told the first plan that is seen.
    began : float
        By `clock.now`.
    interrupted : bool
        Ctrl-C came when a plan was seen already.
    """

    seconds: float
    progress: Callable[[Progress], None] | None = None
    began: float = field(default_factory=clock.now)
    interrupted: bool = False

    def most_promising(self, tasks: Sequence[Task]) -> list[Task]:
        """Questions in the order of what they promise; small ones are looked at first.

        One whose bound is no better than what another promises is not looked at: it stands where its bound puts it.
        Where it gets late, those that come last are left out: the tables of each take a while on a large cluster.
        """
        best = (np.inf, np.inf)
        found: dict[int, tuple[float, float]] = {}
        try:
            for number in sorted(range(len(tasks)), key=lambda number: tasks[number].size):
                if found and clock.now() - self.began > self.seconds:
                    break
                least = 0.0, next(tasks[number].bounds())
                found[number] = least if least > best else promise(tasks[number])
                if best[0] > found[number][0] == 0:
                    self._tell(found[number][1])
                best = min(best, found[number])
        except KeyboardInterrupt:
            if all(violation > 0 for violation, _ in found.values()):
                raise
            self.interrupted = True
        return [tasks[number] for number in sorted(found, key=lambda number: found[number])]

    def _tell(self, cost: float) -> None:
        """Tell that there is a plan of some cost."""
        if self.progress is not None:
            self.progress(Progress(clock.now() - self.began, 1, cost, -np.inf, 0.0, 0.0))


def promise(task: Task) -> tuple[float, float]:
    """Violation and cost of the best of a few plain splits of a question, or of its constructive plans."""
    if task.impossible():
        return np.inf, np.inf
    costs, violations = task.problem.evaluate(task.glances())
    return min(zip(violations.tolist(), costs.tolist(), strict=True), default=(np.inf, np.inf))
