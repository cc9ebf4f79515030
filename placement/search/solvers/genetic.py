"""A genetic algorithm driven by DEAP: its selection, hall of fame, logbook and statistics over compiled variation.

F.-A. Fortin et al., "DEAP: evolutionary algorithms made easy", JMLR 13, 2012. DEAP draws from the global `random`
module; `deap_random` seeds it for one step and puts the caller's state back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.loops import descend, vary
from ..problem import Problem
from ..solver import IntArray, Proposal, runnable
from .population import Member, better_of, deap_random, fill, members, rows


@dataclass(frozen=True)
class Genetic:
    """Hyper-parameters.

    Attributes
    ----------
    population : int
        Members.
    crossing : float
        Probability that a child has two parents.
    moves : int
        Most random moves on a child.
    tournament : int
        Size of the tournaments.
    elite : int
        Best members, kept and polished by descent.
    patience : int
        Generations without a better placement before the population is drawn anew around the best.
    """

    population: int = 120
    crossing: float = 0.6
    moves: int = 3
    tournament: int = 3
    elite: int = 6
    patience: int = 60

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Evolve for ever; each generation is one round."""
        from deap import tools

        logbook = tools.Logbook()
        statistics = tools.Statistics(lambda member: member.fitness.values)
        statistics.register("best", np.min, axis=0)
        best, lap = start[:1], 0
        while True:
            fame: Any = tools.HallOfFame(self.elite)
            size = self.population if problem.compiled else max(self.elite + 2, self.population // 4)
            # Every other population goes without the best so far and most starts: it would only find them again.
            first = np.concatenate([best, start]) if lap % 2 == 0 else start[rng.integers(len(start))][None, :]
            people = members(problem, fill(problem, first, rng, size, far=0.5 if lap % 2 == 0 else 0.9))
            fame.update(people)
            yield Proposal(rows(fame[:1]), len(people))
            idle = 0
            while idle < self.patience:
                before = fame[0].fitness.values
                people, spent = self.generation(problem, rng, people, fame)
                fame.update(people)
                logbook.record(gen=len(logbook), evals=spent, **statistics.compile(people))
                idle = 0 if fame[0].fitness.values < before else idle + 1
                yield Proposal(rows(fame), spent)
            best, lap = better_of(problem, best, rows(fame[:1])), lap + 1

    def generation(
        self, problem: Problem, rng: np.random.Generator, people: list[Member], fame: Any
    ) -> tuple[list[Member], int]:
        """Select, vary in one kernel call, polish the elite; return the next population and evaluations spent."""
        from deap import tools

        with deap_random(rng):
            parents = rows(tools.selTournament(people, len(people) - self.elite, self.tournament))
        children = np.empty_like(parents)
        runnable(vary, problem)(parents, children, problem.data, rng, self.crossing, self.moves)
        elite = rows(fame[: self.elite])
        spent = len(children) + len(elite)
        if problem.compiled:
            for genome in elite:
                spent += runnable(descend, problem)(genome, problem.data, rng, 60)[2]
        return members(problem, np.concatenate([elite, children])), spent
