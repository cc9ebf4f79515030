"""What the DEAP solvers share: light members with a fitness, first populations, and DEAP's randomness."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..problem import Problem
from ..solver import IntArray, kicked

DEAP_TURN = threading.Lock()


class Fitness:
    """A stand-in for DEAP's fitness, which compares weighted tuples in Python and is slow to copy and create.

    Attributes
    ----------
    values : tuple of float
        (violation, cost), both minimised, compared in this order.
    wvalues : tuple of float
        The same, negated: DEAP's operators maximise these.
    """

    __slots__ = ("crowding_dist", "values", "wvalues")
    valid = True

    def __init__(self, values: tuple[float, ...]) -> None:
        self.values = values
        self.wvalues = tuple(-value for value in values)
        self.crowding_dist = 0.0

    def dominates(self, other: Fitness) -> bool:
        """Pareto dominance on `values`."""
        return self.values != other.values and all(a <= b for a, b in zip(self.values, other.values, strict=True))

    def __lt__(self, other: Fitness) -> bool:
        return self.wvalues < other.wvalues

    def __le__(self, other: Fitness) -> bool:
        return self.wvalues <= other.wvalues

    def __gt__(self, other: Fitness) -> bool:
        return self.wvalues > other.wvalues

    def __ge__(self, other: Fitness) -> bool:
        return self.wvalues >= other.wvalues

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fitness) and self.wvalues == other.wvalues

    def __hash__(self) -> int:
        return hash(self.wvalues)


class Member:
    """A genome with its fitness; copying shares the genome, which nobody changes in place."""

    __slots__ = ("fitness", "genome")

    def __init__(self, genome: IntArray, fitness: Fitness) -> None:
        self.genome = genome
        self.fitness = fitness

    def __deepcopy__(self, memo: dict[int, Any]) -> Member:
        return Member(self.genome, self.fitness)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Member) and bool((self.genome == other.genome).all())

    def __hash__(self) -> int:
        return hash(self.genome.tobytes())


def members(problem: Problem, genomes: IntArray) -> list[Member]:
    """Score genomes in one batch and wrap them."""
    costs, violations = problem.evaluate(genomes)
    scores = zip(violations.tolist(), costs.tolist(), strict=True)
    return [Member(genome, Fitness(values)) for genome, values in zip(genomes, scores, strict=True)]


def rows(people: Sequence[Member]) -> IntArray:
    """Stack the genomes of members."""
    return np.stack([member.genome for member in people])


def better_of(problem: Problem, one: IntArray, two: IntArray) -> IntArray:
    """The better of two genomes, each given and returned as a row (1, G)."""
    costs, violations = problem.evaluate(np.concatenate([one, two]))
    return two if (violations[1], costs[1]) < (violations[0], costs[0]) else one


def fill(problem: Problem, start: IntArray, rng: np.random.Generator, size: int, far: float = 0.5) -> IntArray:
    """Return a first population: the starts, kicked copies of them, and a share `far` of random genomes."""
    first = start[:size]
    n_kicked = int((size - len(first)) * (1.0 - far))
    near = [kicked(problem, first[k % len(first)], rng, 1 + k % 12) for k in range(n_kicked)]
    fresh = problem.random(rng, size - len(first) - n_kicked)
    return np.concatenate([first, np.array(near, dtype=np.int64).reshape(-1, problem.genome_size), fresh])


@contextmanager
def deap_random(rng: np.random.Generator) -> Iterator[None]:
    """Seed the global `random` module from `rng` for DEAP, and put its state back; one thread at a time."""
    with DEAP_TURN:
        state = random.getstate()
        random.seed(int(rng.integers(2**63)))
        try:
            yield
        finally:
            random.setstate(state)
