"""Placements in different basins, which race: all cool for a short time, the best three for longer."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from objectives.sessions.chains import Fleet
from placement.search.problem import IntArray
from placement.search.solvers.annealing import Annealing

from ..alike import lines
from ..problem import SessionsProblem, moves_in
from ..stages import stage_starts
from .pace import Pace, Steps, walked

MOVES_PER_SERVER = 2_500  # of the first cycle, at least
CYCLE_SHARE = 0.12  # part of a walk's time that its first cycle takes: a few slow coolings beat many quick ones
HOT, SLOW, MILD = 0.3, 20_000, 1.3  # temperature of a cycle of so many moves per server; shorter ones begin colder
RACERS, MOVES_PER_RACER = 8, 8_000  # starts that race, each with so many moves per server
FINALS = 3
COLD_START = 0.05  # temperature at which racers begin: they are to stay in their basin


def cooling(fleet: Fleet, seconds: float = 0.0) -> Annealing:
    """Cycles whose first takes a part of the seconds."""
    per_server = max(MOVES_PER_SERVER, CYCLE_SHARE * moves_in(fleet, seconds) / fleet.n_servers)
    hot = HOT * min(1.0, per_server / SLOW) ** MILD
    return Annealing(hot=hot, cold=min(1e-3, 0.1 * hot), reheat=1.0, first_cycle=int(per_server * fleet.n_servers))


def racers(fleet: Fleet, seconds: float) -> int:
    """How many starts the seconds are enough for; none when a race would leave too little for the rest."""
    count = int(moves_in(fleet, seconds) / (MOVES_PER_RACER * fleet.n_servers))
    return 0 if count < FINALS else min(RACERS, count)


def basins(problem: SessionsProblem) -> Generator[None, None, IntArray]:
    """The best of chains alike and of stages, one of each cost, the best first; a step for each kind of them."""
    best = []
    for _, rows in stage_starts(problem.fleet):
        best.append(problem.ranked(np.stack([problem.genome(spans) for spans in rows]))[0])
        yield
    alike = yield from lines(problem.fleet, response=problem.response)
    best += [problem.genome(spans) for spans in alike]
    genomes = np.array(best, dtype=np.int64).reshape(-1, problem.genome_size)
    return distinct(problem, genomes)


def distinct(problem: SessionsProblem, genomes: IntArray) -> IntArray:
    """One genome of each cost, the best first: equal costs are mostly the same chains beside servers without any."""
    costs, broken = problem.evaluate(genomes)
    order = np.lexsort((costs, broken))
    news = np.diff(np.round(np.stack([costs, broken])[:, order], 9), prepend=np.nan, axis=1).any(axis=0)
    return genomes[order[news]]


def raced(
    problem: SessionsProblem, heats: IntArray, rng: np.random.Generator, pace: Pace, share: float
) -> Steps[list[IntArray]]:
    """Race the heats for a share of the work.

    Parameters
    ----------
    problem : SessionsProblem
    heats : int array (n, G)
        One of each basin.
    rng : Generator
    pace : Pace
    share : float
        Of the whole work.

    Returns
    -------
    list of int array (G,)
        The best three, the best first; empty without heats.
    """
    if len(heats) == 0:
        return []
    fleet, half = problem.fleet, 0.5 * share
    short = replace(cooling(fleet, pace.seconds(half / len(heats))), hot=COLD_START, last_cycle=MOVES_PER_SERVER)
    first = yield from _heat(problem, heats, short, rng, pace, half)
    finals = problem.ranked(np.stack([*first, heats[0]]))[:FINALS]
    second = yield from _heat(problem, finals, cooling(fleet, pace.seconds(half / FINALS)), rng, pace, half)
    return list(problem.ranked(np.stack([*second, finals[0]]))[:FINALS])


def _heat(
    problem: SessionsProblem, starts: IntArray, walk: Annealing, rng: np.random.Generator, pace: Pace, share: float
) -> Steps[list[IntArray]]:
    """Cool each of the starts for its part of the share."""
    done = []
    for k in range(len(starts)):
        until = pace.share + share / len(starts)
        done.append((yield from walked(walk, problem, rng, starts[k : k + 1], pace, until, name="race")))
    return done
