"""Simulated annealing with reheats: each cycle is twice as long as the one before, so no time limit must be known.

S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi, "Optimization by simulated annealing", Science 220, 1983,
doi:10.1126/science.220.4598.671.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..kernels.loops import anneal
from ..problem import Problem
from .base import IntArray, Proposal, round_size, runnable


@dataclass(frozen=True)
class Annealing:
    """Hyper-parameters.

    Attributes
    ----------
    hot, cold : float
        First and last temperature of a cycle, relative to the cost of its start.
    first_cycle, last_cycle : int
        Moves of the first cycle, and the longest cycle; each cycle doubles up to it.
    """

    hot: float = 0.05
    cold: float = 5e-5
    first_cycle: int = 50_000
    last_cycle: int = 3_200_000

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Cycle for ever, alternately from the best and from another start."""
        walk = runnable(anneal, problem)
        size = round_size(problem, 20_000, 100)
        best = start[0].copy()
        penalty, cycle, number = 3.0, self.first_cycle, 0
        while True:
            genome = (best if number % 2 == 0 else start[rng.integers(len(start))]).copy()
            rounds = max(1, cycle // size)
            ratio = (self.cold / self.hot) ** (1.0 / rounds)
            for r in range(rounds):
                hot = self.hot * ratio**r
                penalty = walk(genome, best, problem.data, rng, size, hot, hot * ratio, penalty)
                yield Proposal(best[None, :].copy(), size)
            number += 1
            cycle = min(cycle * 2, self.last_cycle)
