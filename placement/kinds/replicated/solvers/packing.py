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

from objectives.replicated.kernels.scores import ReplicatedData
from placement.search.problem import Problem
from placement.search.solver import IntArray, NotApplicableError, Proposal

from ..kernels.packing import best_target, pack, unpack
from ..kernels.stages import read_stages, stages_flow

ROUND = 50_000
FEW = 50  # nodes up to which the temperatures hold as they are
PER_NODE = 1_000  # moves of a cycle at least


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
    double : float
        Probability of moves to slots that span two stages.
    """

    hot: float = 0.6
    cold: float = 0.03
    first_cycle: int = 100_000
    last_cycle: int = 1_600_000
    rise: float = 1e-7
    double: float = 0.1

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Cycle for ever."""
        data = problem.data
        if not isinstance(data, ReplicatedData):
            raise NotApplicableError("packing works on replicated placements only")
        slot = np.zeros(data.n_nodes, dtype=np.int64)
        if read_stages(start[0], data, slot) == 0:
            slot[:] = rng.integers(0, max(1, data.n_nodes // 3), data.n_nodes)
        flow = max(float(stages_flow(start[0], data)), 1e-9)
        slot = np.where(slot >= 0, slot // 2 * 3 + slot % 2, -1)
        # A node's share of the blocks shrinks with their number, and so must the temperatures.
        heat = min(1.0, FEW / data.n_nodes)
        best, cycle, number = slot.copy(), max(self.first_cycle, PER_NODE * data.n_nodes), 0
        while True:
            rounds = max(1, cycle // ROUND)
            ratio = (self.cold / self.hot) ** (1.0 / rounds)
            for r in range(rounds):
                hot = heat * self.hot * ratio**r
                done, spent = pack(slot, data, rng, flow * (1.0 + self.rise), ROUND, hot, hot * ratio, self.double)
                genomes = np.zeros((0, problem.genome_size), dtype=np.int64)
                if done:
                    flow, genome = sized(slot, data, flow)
                    genomes, best = genome[None, :], slot.copy()
                yield Proposal(genomes, spent)
            number += 1
            cycle = min(cycle * 2, self.last_cycle)
            if number % 4 == 0:
                slot = best.copy()


def sized(slot: IntArray, data: Any, flow: float) -> tuple[float, IntArray]:
    """Return (tokens/s, genome) of a partition at the largest flow that it holds, at least `flow`; links left out."""
    flow = float(best_target(slot, data, flow))
    genome = np.zeros(2 * data.n_nodes, dtype=np.int64)
    unpack(slot, data, flow, genome)
    return flow, genome
