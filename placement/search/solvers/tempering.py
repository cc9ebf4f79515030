"""Replica exchange (parallel tempering): walks at several temperatures at once, which change places.

No schedule and no time limit must be known: the cold walks search where the hot ones have been. K. Hukushima,
K. Nemoto, "Exchange Monte Carlo method and application to spin glass simulations", J. Phys. Soc. Japan 65, 1996,
doi:10.1143/JPSJ.65.1604.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..kernels.loops import temper
from ..problem import Problem
from ..solver import IntArray, Proposal, round_size, runnable
from .annealing import worsening


@dataclass(frozen=True)
class Tempering:
    """Hyper-parameters.

    Attributes
    ----------
    hot, cold : float
        Highest and lowest temperature, in units of the median worsening of a random move; a geometric ladder between.
    replicas : int
        Walks.
    steps : int
        Moves of each walk between two exchanges.
    """

    hot: float = 0.1
    cold: float = 2e-3
    replicas: int = 8
    steps: int = 30

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Walk for ever, the best starts on the cold walks."""
        walk = runnable(temper, problem)
        states = start[np.arange(self.replicas) % len(start)].copy()
        best = start[0].copy()
        costs, violations = problem.evaluate(states)
        unit = worsening(problem, best, rng, 200 if problem.compiled else 30) * max(abs(float(costs[0])), 1e-300)
        temperatures = np.geomspace(self.cold * unit, self.hot * unit, self.replicas)
        size, penalty = round_size(problem, 20_000, 100), 3.0
        steps = max(1, min(self.steps, size // self.replicas))
        sweeps = max(1, size // (steps * self.replicas))
        while True:
            penalty = walk(states, costs, violations, best, problem.data, rng, sweeps, steps, temperatures, penalty)
            yield Proposal(best[None, :].copy(), sweeps * steps * self.replicas)
