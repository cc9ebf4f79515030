"""Tabu search: always on to the best of a sample of neighbours that was not visited lately, with restarts.

F. Glover, "Tabu search, part I", ORSA J. Comput. 1(3), 1989, doi:10.1287/ijoc.1.3.190.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..kernels.loops import tabu_walk
from ..problem import Problem
from ..solver import IntArray, Proposal, kicked, round_size, runnable


@dataclass(frozen=True)
class Tabu:
    """Hyper-parameters.

    Attributes
    ----------
    memory : int
        Visited placements that are remembered.
    sample : int
        Neighbours looked at for each move.
    patience : int
        Rounds without a better placement before the walk is thrown elsewhere.
    """

    memory: int = 64
    sample: int = 40
    patience: int = 12

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Walk for ever; when stuck, go on from a kicked copy of the best or from another start."""
        walk = runnable(tabu_walk, problem)
        steps = max(1, round_size(problem, 16_000, 80) // self.sample)
        best, genome = start[0].copy(), start[0].copy()
        recent, clock, penalty, idle, throws = np.zeros(self.memory, dtype=np.int64), 0, 3.0, 0, 0
        while True:
            before = best.copy()
            clock, penalty = walk(genome, best, problem.data, rng, steps, self.sample, recent, clock, penalty)
            yield Proposal(best[None, :].copy(), steps * self.sample)
            idle = idle + 1 if (best == before).all() else 0
            if idle >= self.patience:
                idle, throws, recent, clock = 0, throws + 1, np.zeros_like(recent), 0
                source = best if throws % 2 else start[rng.integers(len(start))]
                genome = kicked(problem, source, rng, 4 + 4 * (throws % 8))
