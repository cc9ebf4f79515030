"""What a solver is: a frozen dataclass of hyper-parameters with one method, `search`.

Solvers know neither clocks nor files nor torch. They work in rounds of at most about 50 ms and yield what they have;
the loop in `loop.py` scores, counts and stops. It sends the progress back as the value of the `yield`: a solver that
wants to know how much of its time is over reads `Progress.share` there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .kernels.loops import wander
from .problem import Problem
from .stop import Progress

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Proposal:
    """What a solver has found in one round.

    Attributes
    ----------
    genomes : int array (n, G)
        Candidates; the loop scores them with the reference objective.
    evaluations : int
        Placements scored in this round.
    bound : float
        Lower bound on the cost that this round proved; minus infinity for none.
    solver : str
        Name of the part that made it, for portfolios; empty means the solver itself.
    remark : str
        What was proven, for people; a later one replaces it.
    finalists : int array (n, G) or None
        Genomes that deserve a closer look: a kind may compare them by what it can afford for a few only, such as a
        simulation.
    whole_front : float or None
        With several objectives: nothing but these genomes belongs on the front. For every trade that is possible there
        is one here that is by no more than this part worse in any value; 0 is the exact front. None: no such claim.
    term_bounds : mapping of str to float
        Lower bounds (minimised) that this round proved on single terms, by their names, whatever the objective.
    """

    genomes: IntArray
    evaluations: int = 0
    bound: float = -np.inf
    solver: str = ""
    remark: str = ""
    finalists: IntArray | None = None
    whole_front: float | None = None
    term_bounds: Mapping[str, float] = field(default_factory=dict)


Proposals = Generator[Proposal, Progress | None, None]
"""What a solver that listens to the loop returns; a plain iterator of proposals will do for all others."""


class Solver(Protocol):
    """One algorithm."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield proposals for ever, or until nothing is left to try.

        Parameters
        ----------
        start : int array (n, G)
            Genomes to begin from, the best first: the caller's own and the constructive ones.
        """
        ...


class NotApplicableError(ValueError):
    """The solver cannot work on this problem; the message says why."""


def runnable(loop: Any, problem: Problem) -> Callable[..., Any]:
    """Return the compiled loop, or its plain Python source when the objective is a Python function."""
    call: Callable[..., Any] = loop if problem.compiled else loop.py_func
    return call


def round_size(problem: Problem, compiled: int, python: int) -> int:
    """Evaluations per round: many for kernels, few for plain Python, fewer where the problem says it is slow."""
    size = compiled if problem.compiled else python
    return max(1, int(size * problem.round_scale))


def kicked(problem: Problem, genome: IntArray, rng: np.random.Generator, moves: int) -> IntArray:
    """Return a copy of a genome, `moves` random moves away."""
    step = runnable(wander, problem)
    out = genome.copy()
    step(out, problem.data, rng, moves)
    return out
