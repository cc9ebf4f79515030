"""Stages for a target flow, the target raised whenever it is met: for replicated placements.

Repeat: fix F a little above the best flow; search a partition of the nodes into stages that together hold all L blocks
at F by annealing the blocks missing (`kernels/packing.py`); when found, size the stages as is best and raise F.
Links are left out here, so this finds good partitions, and another solver settles their order where links are slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..problem import Problem
from .base import IntArray, NotApplicableError, Proposal


ROUND = 50_000


@dataclass(frozen=True)
class Packing:
    """Hyper-parameters.

    Attributes
    ----------
    hot, cold : float
        First and last temperature of a cycle, in blocks.
    first_cycle, last_cycle : int
        Moves of the first and of the longest cycle; each failed cycle doubles up to it.
    rise : float
        Relative step of the target above the best flow found.
    """

    hot: float = 0.6
    cold: float = 0.03
    first_cycle: int = 100_000
    last_cycle: int = 3_200_000
    rise: float = 1e-6

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Cycle for ever."""
        from objectives.kernels.replicated import ReplicatedData

        data = problem.data
        if not isinstance(data, ReplicatedData):
            raise NotApplicableError("packing works on replicated placements only")
        from ..kernels.packing import pack
        from ..kernels.stages import read_stages

        stage = np.zeros(data.n_nodes, dtype=np.int64)
        if read_stages(start[0], data, stage) == 0:
            stage[:] = rng.integers(0, max(1, data.n_nodes // 3), data.n_nodes)
        flow, _ = sized(stage, data)
        best = stage.copy()
        cycle, number = self.first_cycle, 0
        while True:
            rounds = max(1, cycle // ROUND)
            ratio = (self.cold / self.hot) ** (1.0 / rounds)
            for r in range(rounds):
                hot = self.hot * ratio**r
                done, spent = pack(stage, data, rng, flow * (1.0 + self.rise), ROUND, hot, hot * ratio)
                genomes = np.zeros((0, problem.genome_size), dtype=np.int64)
                if done:
                    found, genome = sized(stage, data)
                    genomes = genome[None, :]
                    if found > flow:
                        best, flow = stage.copy(), found
                yield Proposal(genomes, spent)
            number += 1
            cycle = min(cycle * 2, self.last_cycle)
            if number % 3 == 0:
                stage = best.copy()


def sized(stage: IntArray, data: Any) -> tuple[float, IntArray]:
    """Return (tokens/s, genome) of a partition whose stages are sized for the best flow, links left out."""
    from ..kernels.stages import decode_stages, stages_flow

    genome = np.zeros(2 * data.n_nodes, dtype=np.int64)
    decode_stages(stage.copy(), data.n_nodes, data, genome)
    return float(stages_flow(genome, data)), genome
