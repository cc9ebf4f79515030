"""The portfolio: bounds, disjoint chains, a race of basins, then walks over spans from the best of all.

Bounds are advanced first, a round of cuts at a time. For the rate, disjoint chains (servers in groups) are annealed,
placements of different basins race, and replica exchange walks over spans from the best of all, or annealing where the
time is short. For the response time there are several such rounds: each minimises a mix of both birth-death bounds
whose weight is that with which the mix equals the simulation of the best plan so far. Placements that the mix cannot
tell apart are named as finalists, for a closer look.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np

from placement.search.problem import IntArray, Problem
from placement.search.solver import NotApplicableError, Proposal, Proposals
from placement.search.solvers.nsga2 import NSGA2
from placement.search.solvers.tempering import Tempering

from ..bound import Proven, rate_bounds, response_bounds
from ..closer import leading, weight_of_upper
from ..disjoint import GroupProblem
from ..problem import SessionsProblem, moves_in
from .pace import Pace, Steps, T, nothing, walked, worked
from .race import basins, cooling, raced, racers


@dataclass(frozen=True)
class SessionsPortfolio:
    """Hyper-parameters.

    Attributes
    ----------
    rate_bound, response_bound : float
        Parts of the work that may go to bounds, for the rate and for the response time.
    groups : float
        Part of the work that goes to disjoint chains.
    race, short_race : float
        Parts of a round that go to the race; the second where replica exchange follows.
    exchange : int
        Moves per server that replica exchange needs to beat coolings.
    rounds : tuple of float
        Parts of the work at which rounds of the search for the response time end.
    best_starts : int
        Constructive placements that walks begin from beside those found.
    """

    rate_bound: float = 0.4
    response_bound: float = 0.2
    groups: float = 0.1
    race: float = 0.5
    short_race: float = 0.3
    exchange: int = 50_000
    rounds: tuple[float, ...] = (0.43, 0.645, 0.83, 1.0)
    best_starts: int = 6

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Proposals:
        """Search until the time is over; without a time limit in laps, each longer than the one before, for ever."""
        if not isinstance(problem, SessionsProblem):
            raise NotApplicableError("it places servers whose sessions reserve caches")
        if problem.objective.pareto:
            for proposal in NSGA2().search(problem, rng, start):
                yield replace(proposal, solver="nsga2")
            return
        pace = Pace(problem.fleet)
        possible = yield from self.proofs(problem, pace)
        if possible:
            yield from _Search(self, problem, rng, start, pace).laps()

    def proofs(self, problem: SessionsProblem, pace: Pace) -> Steps[bool]:
        """Advance the bounds; return whether a placement may exist that serves the arrivals and meets the limits."""
        steps: Iterator[Proven] = (response_bounds if problem.response else rate_bounds)(problem.fleet)
        most = self.response_bound if problem.response else self.rate_bound
        bound = -np.inf
        for proven in steps:
            bound = problem.bound_of(proven)
            terms = {"rate": 1.0 / proven.rate, "response": proven.response_s}
            pace.note((yield replace(nothing(problem.genome_size), bound=bound, term_bounds=terms)))
            if pace.share >= most:
                break
        return bound < np.inf


@dataclass
class _Search:
    """One search in progress."""

    of: SessionsPortfolio
    problem: SessionsProblem
    rng: np.random.Generator
    start: IntArray
    pace: Pace
    heats: IntArray | None = None

    def laps(self) -> Steps[None]:
        """One lap where there is a time limit, which ends it; laps for ever where there is none."""
        yield self.named(self.start[:1])
        while True:
            found = yield from (self.responses() if self.problem.response else self.rates())
            self.start = self.problem.ranked(np.unique(np.concatenate([np.stack(found), self.start]), axis=0))
            self.pace.next_lap()

    def rates(self) -> Steps[list[IntArray]]:
        """One round for the rate."""
        return (yield from self.round(self.problem, self.start, self.end(1.0), grouped=True))

    def responses(self) -> Steps[list[IntArray]]:
        """Rounds for the response time."""
        problem, begun = self.problem, self.start[: self.of.best_starts]
        yield self.named(begun)
        finalists = {genome.tobytes(): genome for genome in begun}
        leader = problem.composition(problem.decode(begun[0]))
        for number, end in enumerate(self.of.rounds):
            pool = problem.ranked(np.stack([*finalists.values()]))
            genomes = yield from self.round(problem, pool, self.end(end), grouped=number == 0)
            finalists |= {genome.tobytes(): genome for genome in genomes}
            yield self.named(np.stack(genomes[::-1]))
            plans = [problem.composition(problem.decode(genome)) for genome in genomes]
            leader = yield from self.stepwise(leading(problem, [*plans, leader]))
            problem = replace(problem, upper=weight_of_upper(problem, leader))
        return [*finalists.values()]

    def end(self, share: float) -> float:
        """Where a part ends; the last one of a search with a time limit goes on until the loop ends it."""
        return np.inf if self.pace.timed and share >= 1.0 else share

    def round(
        self, problem: SessionsProblem, starts: IntArray, until: float, *, grouped: bool
    ) -> Steps[list[IntArray]]:
        """Disjoint chains and the race when `grouped`, then spans from the best of the starts and of them.

        Returns the best genomes, the best first.
        """
        pace, fleet, found = self.pace, problem.fleet, [starts[0]]
        share = max(0.0, min(until, 1.0) - pace.share)
        exchange = self.exchanges(problem, pace.seconds(share), first=grouped)
        if grouped:
            groups = GroupProblem(problem)
            best = yield from walked(
                cooling(fleet),
                groups,
                self.rng,
                groups.starts(),
                pace,
                pace.share + min(self.of.groups, 0.2 * share),
                name="groups",
                told=groups.spans_genome,
            )
            racing = (self.of.short_race if exchange else self.of.race) * share
            fastest = yield from self.race(problem, racing)
            found = [groups.spans_genome(best), *fastest, *found]
        pool = problem.ranked(np.unique(np.concatenate([np.stack(found), starts[: self.of.best_starts]]), axis=0))
        yield self.named(np.stack(found[::-1]))
        rest = pace.seconds(min(until, 1.0) - pace.share)
        walk, name = (Tempering(), "tempering") if exchange else (cooling(fleet, rest), "annealing")
        best = yield from walked(
            walk, problem, self.rng, pool, pace, until, name=name, finalists=problem is not self.problem
        )
        return [best, *found]

    def exchanges(self, problem: SessionsProblem, seconds: float, *, first: bool) -> bool:
        """Whether replica exchange is to walk: where the time is enough, but not in a first round for the response.

        That round is to find many basins for the others to choose from.
        """
        enough = moves_in(problem.fleet, seconds) > self.of.exchange * problem.fleet.n_servers
        return enough and not (first and problem.response)

    def race(self, problem: SessionsProblem, share: float) -> Steps[list[IntArray]]:
        """The best three basins of as many as the share is enough for."""
        count = racers(problem.fleet, self.pace.seconds(share))
        if count == 0:
            return []
        if self.heats is None:
            self.heats = yield from self.stepwise(basins(problem))
        return (yield from raced(problem, self.heats[:count], self.rng, self.pace, share))

    def stepwise(self, steps: Generator[None, None, T]) -> Steps[T]:
        """Do what takes long step by step."""
        return (yield from worked(steps, self.pace, self.problem.genome_size))

    def named(self, genomes: IntArray) -> Proposal:
        """A proposal of finalists."""
        return replace(nothing(self.problem.genome_size), finalists=genomes)
