"""The portfolio for replicated placements: packing for capacity, walks in turns for links and every other objective.

For the flow, rounds of the pattern program go along until it ends: they prove a bound and bring the best stages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from objectives.replicated.node_kinds import regions
from placement.search.problem import Problem
from placement.search.solver import IntArray, NotApplicableError, Proposal, Solver, round_size
from placement.search.solvers.annealing import Annealing
from placement.search.solvers.nsga2 import NSGA2
from placement.search.solvers.tabu import Tabu
from placement.search.solvers.tempering import Tempering

from ..problem import ReplicatedProblem
from .packing import Packing
from .patterns import Patterns

PROOFS = 3  # rounds of the pattern program per round of annealing: it ends within a second or two
MANY = 140  # nodes from which on max flows are slow, and packing is not


@dataclass(frozen=True)
class Turn:
    """One part of a round: a walk, how far its moves leave stages, and where it begins.

    Attributes
    ----------
    walk : Solver
    unaligned : float
        Part of the moves that change single spans, as chains that part need; 0: the problem's own.
    fresh : bool
        Begin from random placements: the best so far may lie in a valley that no walk leaves.
    regional : bool
        Such that chains pass one region after the other, where there are several.
    """

    walk: Solver
    unaligned: float = 0.0
    fresh: bool = False
    regional: bool = False


FIRST_CYCLE = 200_000
TURNS = (
    Turn(Annealing(hot=0.05, first_cycle=FIRST_CYCLE)),
    Turn(Annealing(hot=0.2, first_cycle=FIRST_CYCLE), unaligned=0.5),
    Turn(Tabu(), unaligned=0.5, fresh=True),
    Turn(Annealing(hot=0.05, first_cycle=FIRST_CYCLE)),
    Turn(Annealing(hot=0.5, first_cycle=FIRST_CYCLE), unaligned=1.0, fresh=True),
)
# Of several regions: hotter, since chains that pass them in another order lie behind high ridges.
REGIONAL_TURNS = (
    Turn(Annealing(hot=0.5, first_cycle=FIRST_CYCLE)),
    Turn(Annealing(hot=0.2, first_cycle=FIRST_CYCLE), unaligned=0.5),
    Turn(Annealing(hot=0.5, first_cycle=FIRST_CYCLE), fresh=True, regional=True),
    Turn(Annealing(hot=0.2, first_cycle=FIRST_CYCLE), unaligned=0.5),
    Turn(Tabu(), unaligned=0.5, fresh=True),
    Turn(Annealing(hot=0.05, first_cycle=FIRST_CYCLE)),
    Turn(Annealing(hot=0.5, first_cycle=FIRST_CYCLE), unaligned=1.0, fresh=True),
)
FRESH = 4  # random placements that a fresh turn begins from


@dataclass(frozen=True)
class ReplicatedPortfolio:
    """Hyper-parameters.

    Attributes
    ----------
    packing_ordered, packing_free, packing_other : float
        Rounds of packing (which are shorter) per round of annealing: for flow where the order of stages matters, for
        flow where it does not, and for all other objectives.
    tempering : float
        Rounds of replica exchange per round of annealing where there are several regions, but for flow: of walks from
        many starts at once, those in worse valleys give way to the others, and no single turn decides the order of
        regions.
    first_turn, first_regional, last_turn : int
        Rounds of the first turn, of the first two where there are several regions, and of the longest.
    """

    packing_ordered: float = 2.0
    packing_free: float = 20.0
    packing_other: float = 0.2
    tempering: float = 2.0
    first_turn: int = 4
    first_regional: int = 5
    last_turn: int = 240

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Search for ever."""
        if not isinstance(problem, ReplicatedProblem):
            raise NotApplicableError("this portfolio works on replicated placements only")
        if problem.objective.pareto:
            yield from NSGA2().search(problem, rng, start)
            return
        pool = _Pool(problem, start)
        packing = Packing().search(problem, rng, start)
        proofs = _proofs(problem, rng, start)
        several = int(regions(problem.tables).max(initial=0)) > 0
        turns, length = (REGIONAL_TURNS, self.first_regional) if several else (TURNS, self.first_turn)
        exchange = Tempering(hot=0.3, cold=5e-3, replicas=12).search(problem, rng, start)
        exchanges = self.tempering if several and problem.objective.single != "flow" else 0.0
        debt, owed, number = 0.0, 0.0, 0
        if problem.objective.single != "flow":
            rounds = self.packing_other
        else:
            rounds = self.packing_ordered if problem.data.ordered else self.packing_free
        if problem.data.n_nodes > MANY and problem.objective.single == "flow":
            rounds = max(rounds, self.packing_free)
        while True:
            kind = turns[number % len(turns)]
            turned = problem.loose(kind.unaligned) if kind.unaligned else problem
            begin = _fresh(problem, rng, kind.regional) if kind.fresh else pool.start()
            turn = _cooling(kind.walk, length * round_size(turned, 20_000, 100)).search(turned, rng, begin)
            for _ in range(length):
                debt += rounds
                while debt >= 1.0:
                    debt -= 1.0
                    yield self.take(pool, next(packing), "packing")
                owed += exchanges
                while owed >= 1.0:
                    owed -= 1.0
                    yield self.take(pool, next(exchange), "tempering")
                yield self.take(pool, next(turn), type(kind.walk).__name__.lower())
                for proof in islice(proofs, PROOFS):
                    yield self.take(pool, proof, "patterns")
            number += 1
            if number % 2 == 0 or not several:
                length = min(2 * length, self.last_turn)

    def take(self, pool: _Pool, proposal: Proposal, name: str) -> Proposal:
        """Keep what is good of a proposal, and put the part's name on it."""
        pool.offer(proposal.genomes)
        return replace(proposal, solver=name)


def _fresh(problem: ReplicatedProblem, rng: np.random.Generator, regional: bool) -> IntArray:
    """Random placements to begin from; `regional`: chains pass one region after the other, the best first."""
    if not regional:
        return problem.random(rng, FRESH)
    found = problem.random_by_regions(rng, FRESH)
    costs, violations = problem.evaluate(found)
    return found[np.lexsort((costs, violations))]


def _cooling(walk: Solver, moves: int) -> Solver:
    """The walk of a turn of so many moves: one that anneals comes to its lowest temperature before the turn ends."""
    return replace(walk, first_cycle=min(walk.first_cycle, max(1, moves))) if isinstance(walk, Annealing) else walk


def _proofs(problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
    """Rounds of the pattern program, none where it does not apply."""
    try:
        yield from Patterns().search(problem, rng, start)
    except NotApplicableError:
        return


class _Pool:
    """The best genomes so far, in front of the starts."""

    def __init__(self, problem: Problem, start: IntArray) -> None:
        self.problem, self.kept, self.others = problem, start[:0], start

    def offer(self, genomes: IntArray) -> None:
        """Keep the four best."""
        if not len(genomes):
            return
        rows = np.unique(np.concatenate([self.kept, genomes]), axis=0)
        costs, violations = self.problem.evaluate(rows)
        self.kept = rows[np.lexsort((costs, violations))[:4]]

    def start(self) -> IntArray:
        """Genomes for a turn to begin from, the best first."""
        return np.concatenate([self.kept, self.others])
