"""The portfolio: starts, a short annealing, exact where it can prove, and metaheuristics in turn.

Rounds of the exact solver alternate with rounds of the metaheuristics, so a proof ends the run early and a proof out
of reach costs at most half of the time. Every turn begins from the best placement of all turns before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from placement.search.problem import Problem
from placement.search.solver import IntArray, NotApplicableError, Proposal, Solver
from placement.search.solvers.annealing import Annealing
from placement.search.solvers.genetic import Genetic
from placement.search.solvers.nsga2 import NSGA2
from placement.search.solvers.pso import ParticleSwarm
from placement.search.solvers.tabu import Tabu

from .beam import Beam
from .exact import Exact

TURNS: dict[str, Callable[[], Solver]] = {
    "annealing": Annealing,
    "beam": Beam,
    "genetic": Genetic,
    "pso": ParticleSwarm,
    "tabu": Tabu,
}


@dataclass(frozen=True)
class PipelinePortfolio:
    """Hyper-parameters.

    Attributes
    ----------
    turns : tuple of str
        Metaheuristics, in the order of their turns.
    first_turn, last_turn : int
        Rounds of the first turn, few, so that every one has a turn within the first seconds; every lap doubles them, up
        to the last.
    warm_up : int
        Rounds of the first metaheuristic before the exact solver begins, so that it has something to cut with.
    """

    turns: tuple[str, ...] = ("annealing", "beam", "genetic", "annealing", "tabu", "annealing", "pso")
    first_turn: int = 8
    last_turn: int = 320
    warm_up: int = 3

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Search for ever; ends only when the exact solver has proven its answer."""
        pool = Pool(problem, start)
        if problem.objective.pareto:
            yield from named("nsga2", NSGA2().search(problem, rng, start))
            return
        metaheuristics = self.laps(problem, rng, pool)
        for _ in range(self.warm_up):
            yield next(metaheuristics)
        for proposal in proofs(problem, rng, pool):
            pool.offer(proposal.genomes)
            yield proposal
            yield next(metaheuristics)
        yield from metaheuristics

    def laps(self, problem: Problem, rng: np.random.Generator, pool: Pool) -> Iterator[Proposal]:
        """Turns of the metaheuristics, for ever; a turn that brings nothing is cut to half of its length.

        Those that end, or do not apply to the problem, pass their turn on.
        """
        length = self.first_turn
        while True:
            for name in self.turns:
                turn = named(name, TURNS[name]().search(problem, rng, pool.start()))
                idle = 0
                for _ in range(length if problem.compiled else 4):
                    proposal = _advance(turn)
                    if proposal is None:
                        break
                    idle = 0 if pool.offer(proposal.genomes) else idle + 1
                    yield proposal
                    if idle > length // 2:
                        break
            length = min(2 * length, self.last_turn)


class Pool:
    """The best genome so far, in front of the starts."""

    def __init__(self, problem: Problem, start: IntArray) -> None:
        self.problem = problem
        self.others = start
        self.best = start[0].copy()
        self.score = (np.inf, np.inf)
        self.offer(start)

    def offer(self, genomes: IntArray) -> bool:
        """Take the best of `genomes` when it is better; return whether it was."""
        costs, violations = self.problem.evaluate(genomes)
        first = int(np.lexsort((costs, violations))[0])
        score = (float(violations[first]), float(costs[first]))
        if score < self.score:
            self.best, self.score = genomes[first].copy(), score
            return True
        return False

    def start(self) -> IntArray:
        """Genomes for a turn to begin from, the best first."""
        return np.concatenate([self.best[None, :], self.others])


def proofs(problem: Problem, rng: np.random.Generator, pool: Pool) -> Iterator[Proposal]:
    """Rounds of the exact solver, none where it does not apply."""
    try:
        yield from named("exact", Exact().search(problem, rng, pool.start()))
    except NotApplicableError:
        return


def named(name: str, proposals: Iterator[Proposal]) -> Iterator[Proposal]:
    """Put the solver's name on its proposals."""
    return (replace(proposal, solver=name) for proposal in proposals)


def _advance(turn: Iterator[Proposal]) -> Proposal | None:
    """Return the next round of a turn, or None when it has ended or does not apply."""
    try:
        return next(turn, None)
    except NotApplicableError:
        return None
