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
LAST = 0.99  # part of the work from which on every improvement is told at once
QUICK = 40  # servers for which the reference scores a placement in much less time than a round takes
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

    @property
    def rounds_between(self) -> int:
        """Rounds of a walk between two placements that the loop hears of."""
        return max(1, (self.fleet.n_servers // QUICK) ** 2)

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
    news = _News(told, pace.rounds_between)
    for proposal in solver.search(problem, rng, start):
        news.rounds += 1
        if not np.array_equal(proposal.genomes[-1], best):
            best = proposal.genomes[-1].copy()
            news.untold = news.unnamed = True
        genomes, named = news.told(best, pace.share), news.named(best, pace.share) if finalists else None
        progress = yield Proposal(genomes, proposal.evaluations, solver=name, finalists=named)
        pace.note(progress, proposal.evaluations)
        if pace.share >= until:
            break
    if news.untold:
        yield Proposal(told(best)[None, :], solver=name)
    return best


@dataclass
class _News:
    """Which improvements of a walk the loop is to hear of.

    The loop scores all that it hears of by the reference, which takes long where there are many servers.
    """

    turned: Callable[[IntArray], IntArray]
    between: int
    rounds: int = 0
    untold: bool = False
    unnamed: bool = False
    told_at: int = 0
    named_at: float = 0.0

    def told(self, best: IntArray, share: float) -> IntArray:
        """The best when it is new and its time has come."""
        genome = self.turned(best)
        if self.untold and (self.rounds - self.told_at >= self.between or share >= LAST):
            self.untold, self.told_at = False, self.rounds
            return genome[None, :]
        return np.empty((0, len(genome)), dtype=np.int64)

    def named(self, best: IntArray, share: float) -> IntArray | None:
        """The best as a finalist when the walk is so much longer than at the last, or late."""
        if not self.unnamed or (self.rounds < self.named_at * SPARSE and share < LATE):
            return None
        self.unnamed, self.named_at = False, self.rounds
        return self.turned(best)[None, :]


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
