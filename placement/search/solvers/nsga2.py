"""NSGA-II on DEAP's operators: several objectives at once, a Pareto front as the answer.

K. Deb, A. Pratap, S. Agarwal, T. Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC
6(2), 2002, doi:10.1109/4235.996017. Constrained dominance: less violation wins, among equals the Pareto order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..kernels.loops import vary
from ..problem import Problem
from ..solver import IntArray, Proposal, runnable
from .population import Fitness, Member, deap_random, fill, rows

# Added per unit of violation to every objective, relative to its scale: infeasible members sort behind feasible ones.
BEHIND = 1e6


@dataclass(frozen=True)
class NSGA2:
    """Hyper-parameters.

    Attributes
    ----------
    population : int
        Members; a multiple of 4.
    crossing : float
        Probability that a child has two parents.
    moves : int
        Most random moves on a child.
    brood : int
        Children of each parent and round, of whom the least dominated ones go on to selection. More than 1 pays where
        scores are much cheaper than sorting.
    """

    population: int = 100
    crossing: float = 0.6
    moves: int = 2
    brood: int = 1

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Evolve for ever; every round yields the whole first front."""
        from deap import tools

        people = scored(problem, fill(problem, start, rng, self.population))
        people = tools.selNSGA2(people, self.population)
        while True:
            with deap_random(rng):
                parents = rows(tools.selTournamentDCD(people, self.population))
            parents = np.concatenate([parents, *(rng.permutation(parents) for _ in range(self.brood - 1))])
            children = np.empty_like(parents)
            runnable(vary, problem)(parents, children, problem.data, rng, self.crossing, self.moves)
            grown = scored(problem, children)
            if self.brood > 1:
                grown = least_dominated(grown, self.population)
            pool = list(dict.fromkeys(people + grown))
            if len(pool) < self.population:
                pool += scored(problem, problem.random(rng, self.population - len(pool)))
            people = tools.selNSGA2(pool, self.population)
            front = tools.sortNondominated(people, len(people), first_front_only=True)[0]
            yield Proposal(rows(front), len(children))


def scored(problem: Problem, genomes: IntArray) -> list[Member]:
    """Members with one fitness value per objective; a plain objective counts as one."""
    names = problem.objective.pareto
    if names:
        values, broken = problem.terms(genomes)
        values = values[:, [problem.objective.terms.names.index(name) for name in names]]
    else:
        costs, broken = problem.evaluate(genomes)
        values = costs[:, None]
    values = values + BEHIND * broken[:, None] * np.maximum(np.abs(values).max(axis=0), 1e-9)
    return [Member(genome, Fitness(tuple(row))) for genome, row in zip(genomes, values.tolist(), strict=True)]


def least_dominated(members: list[Member], count: int) -> list[Member]:
    """Members that the fewest others dominate, one for each point."""
    values = np.array([member.fitness.values for member in members])
    _, first = np.unique(values, axis=0, return_index=True)
    points = values[first]
    no_worse = (points[:, None, :] <= points[None, :, :]).all(axis=2)
    order = np.argsort(no_worse.sum(axis=0), kind="stable")[:count]
    return [members[k] for k in first[order]]
