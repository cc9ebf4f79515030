"""How a search of several parts shares out its work, and the parts themselves: walks and enumerations, step by step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from objectives.sessions.chains import Fleet
from placement.search.problem import IntArray, Problem
from placement.search.solver import Proposal, Solver
from placement.search.stop import Progress

from ..problem import moves_in

FIRST_LAP_S, LONGER = 0.1, 3.0  # where no time limit is known: what the first lap is worth, and the growth of the next
LATE = 0.95  # part of the work from which on every improvement is a finalist
SPARSE = 1.25  # before that, one when the walk is so much longer than at the last

T = TypeVar("T")
Steps = Generator[Proposal, Progress | None, T]
"""Proposals of one part of a search, and what the part ends with."""


@dataclass
class Pace:
    """What part of the work is over: of the time limit where there is one, else of the moves of a lap.

    Laps make a search without a time limit depend on nothing but its seed: each is worth more seconds than the last, as
    many moves as `moves_in` guesses.

    Attributes
    ----------
    fleet : Fleet
    limit_s : float
        Seconds that the whole work is worth.
    timed : bool
        There is a time limit, and it is `limit_s`.
    share : float
        Part of the work that is over.
    """

    fleet: Fleet
    limit_s: float = FIRST_LAP_S
    timed: bool = False
    share: float = 0.0
    _moves: int = 0

    def note(self, progress: Progress | None, moves: int = 0) -> None:
        """Take note of what the loop says, and of moves."""
        self._moves += moves
        self.timed = progress is not None and progress.share > 0.0
        if progress is not None and self.timed:
            self.limit_s = float(f"{progress.seconds / progress.share:.6g}")
            self.share = progress.share
        else:
            self.share = self._moves / moves_in(self.fleet, self.limit_s)

    def next_lap(self) -> None:
        """Begin a longer lap."""
        self.limit_s, self._moves, self.share = self.limit_s * LONGER, 0, 0.0

    def seconds(self, share: float) -> float:
        """What a share of the work is worth, 0 at least."""
        return max(0.0, min(share, 1.0)) * self.limit_s


def same(genome: IntArray) -> IntArray:
    """Return the genome as it is."""
    return genome


def walked(
    solver: Solver,
    problem: Problem,
    rng: np.random.Generator,
    start: IntArray,
    pace: Pace,
    until: float,
    *,
    name: str,
    finalists: bool = False,
    told: Callable[[IntArray], IntArray] = same,
) -> Steps[IntArray]:
    """Advance a solver until a part of all work is over; return its best genome.

    Parameters
    ----------
    solver, problem, rng, start
        The solver and what its search takes; `start` with the best in front.
    pace : Pace
        Of the whole search.
    until : float
        Part of the whole work.
    name : str
        Of this part of the search.
    finalists : bool
        Name improvements as finalists: for problems whose cost is not that of the whole search.
    told : callable
        Turns a genome of `problem` into one of the problem that the loop knows.
    """
    best: IntArray = start[0]
    due, pending = 1.0, False
    none = np.empty((0, len(told(best))), dtype=np.int64)
    for rounds, proposal in enumerate(solver.search(problem, rng, start), start=1):
        genomes = none
        if not np.array_equal(proposal.genomes[-1], best):
            best, pending = proposal.genomes[-1].copy(), True
            genomes = told(best)[None, :]
        named = None
        if finalists and pending and (rounds >= due or pace.share >= LATE):
            named, due, pending = told(best)[None, :], rounds * SPARSE, False
        progress = yield Proposal(genomes, proposal.evaluations, solver=name, finalists=named)
        pace.note(progress, proposal.evaluations)
        if pace.share >= until:
            break
    return best


def worked(steps: Generator[None, None, T], pace: Pace, genome_size: int) -> Steps[T]:
    """Do what takes long step by step; the loop looks at the clock in between."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        pace.note((yield nothing(genome_size)))


def nothing(genome_size: int) -> Proposal:
    """A proposal without genomes."""
    return Proposal(np.empty((0, genome_size), dtype=np.int64))


def finished(steps: Generator[None, None, T]) -> T:
    """Do all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
