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
from ..solver import IntArray, Proposal, kicked, round_size, runnable


@dataclass(frozen=True)
class Annealing:
    """Hyper-parameters.

    Attributes
    ----------
    hot, cold : float
        First and last temperature of a cycle, in units of the median worsening of a random move.
    reheat : float
        First temperature of the cycles that go on from the best, relative to `hot`.
    first_cycle, last_cycle : int
        Moves of the first cycle, and the longest cycle; every second one doubles up to it.
    """

    hot: float = 0.5
    cold: float = 2e-4
    reheat: float = 0.2
    first_cycle: int = 60_000
    last_cycle: int = 4_000_000

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Cycle for ever, alternately from the best and from another start."""
        walk = runnable(anneal, problem)
        size = round_size(problem, 20_000, 100)
        best = start[0].copy()
        penalty, cycle, number = 3.0, self.first_cycle if problem.compiled else 1_000, 0
        unit = worsening(problem, best, rng, 200 if problem.compiled else 30)
        while True:
            again = number % 2 == 0
            genome = (best if again else start[rng.integers(len(start))]).copy()
            first = self.hot * unit * (self.reheat if again else 1.0)
            rounds = max(1, cycle // size)
            ratio = (self.cold * unit / first) ** (1.0 / rounds)
            for r in range(rounds):
                hot = first * ratio**r
                penalty = walk(genome, best, problem.data, rng, size, hot, hot * ratio, penalty)
                yield Proposal(best[None, :].copy(), size)
            number += 1
            if number % 2 == 0:
                cycle = min(cycle * 2, self.last_cycle)


def worsening(problem: Problem, genome: IntArray, rng: np.random.Generator, sample: int) -> float:
    """Median relative worsening of one random move, the scale of all temperatures."""
    near = np.stack([kicked(problem, genome, rng, 1) for _ in range(sample)])
    costs, broken = problem.evaluate(np.concatenate([genome[None, :], near]))
    # A cost of 0 (nothing is moved) is no unit: every change is a large one then.
    change = (costs[1:] - costs[0]) / max(abs(costs[0]), 1e-12 * float(np.abs(costs).max()), 1e-300)
    worse = change[(change > 1e-12) & (broken[1:] <= broken[0])]
    return float(np.median(worse)) if len(worse) else 0.05
