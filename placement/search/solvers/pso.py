"""Particle swarm on random keys: a particle's order of keys is an order of nodes, decoded to the best split of it.

J. Kennedy, R. C. Eberhart, "Particle swarm optimization", ICNN 1995, doi:10.1109/ICNN.1995.488968; inertia and
attraction after M. Clerc, J. Kennedy, IEEE TEC 6(1), 2002, doi:10.1109/4235.985692; random keys after J. C. Bean, 1994,
doi:10.1287/ijoc.6.2.154. The leader is polished by descent, and its keys are read back from the polished placement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..kernels.loops import decode_all, descend
from ..problem import Problem
from ..solver import IntArray, Proposal, runnable

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ParticleSwarm:
    """Hyper-parameters.

    Attributes
    ----------
    particles : int
    inertia, attraction : float
        Share of the velocity that is kept, and pull towards a particle's own best and the best of its ring.
    neighbours : int
        Particles on each side that a particle listens to.
    patience : int
        Rounds without a better placement before the swarm is scattered anew.
    """

    particles: int = 32
    inertia: float = 0.7298
    attraction: float = 1.4962
    neighbours: int = 3
    patience: int = 40

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Fly for ever; a scattered swarm keeps the best placement."""
        best = start[0].copy()
        while True:
            yield from self.flight(problem, rng, np.concatenate([best[None, :], start[1:]]), best)

    def flight(self, problem: Problem, rng: np.random.Generator, start: IntArray, best: IntArray) -> Iterator[Proposal]:
        """Fly until `patience` rounds bring nothing; `best` is changed in place."""
        decode, polish = runnable(decode_all, problem), runnable(descend, problem)
        n, size = self.particles, problem.n_keys
        at = rng.uniform(0.0, 1.4, (n, size))
        for k, genome in enumerate(start[: n // 2]):
            at[k] = problem.to_keys(genome)
        speed = rng.uniform(-0.2, 0.2, (n, size))
        own, own_score = at.copy(), np.full((n, 2), np.inf)
        genomes = np.zeros((n, problem.genome_size), dtype=np.int64)
        costs, broken = np.empty(n), np.empty(n)
        best_score = _score(problem, best)
        idle = 0
        while idle < self.patience:
            decode(at, problem.data, genomes, costs, broken)
            spent = n
            better = (broken < own_score[:, 0]) | ((broken == own_score[:, 0]) & (costs < own_score[:, 1]))
            own[better], own_score[better] = at[better], np.stack([broken, costs], axis=1)[better]
            leader = genomes[np.lexsort((costs, broken))[0]].copy()
            cost, violation, tries = polish(leader, problem.data, rng, 200 if problem.compiled else 10)
            spent += tries
            worst = int(np.lexsort((own_score[:, 1], own_score[:, 0]))[-1])
            own[worst], own_score[worst] = problem.to_keys(leader), (violation, cost)
            idle += 1
            if (violation, cost) < best_score:
                best[:], best_score, idle = leader, (violation, cost), 0
            yield Proposal(best[None, :].copy(), spent)
            guide = own[self.guides(own_score)]
            pull = rng.random((2, n, size)) * self.attraction
            speed = self.inertia * speed + pull[0] * (own - at) + pull[1] * (guide - at)
            speed = np.clip(speed, -0.5, 0.5)
            at = np.clip(at + speed, 0.0, 1.5)

    def guides(self, scores: FloatArray) -> npt.NDArray[np.int64]:
        """Index of the best particle within reach of each one on the ring."""
        n = len(scores)
        rank = np.empty(n, dtype=np.int64)
        rank[np.lexsort((scores[:, 1], scores[:, 0]))] = np.arange(n)
        reach = (np.arange(n)[:, None] + np.arange(-self.neighbours, self.neighbours + 1)) % n
        chosen: npt.NDArray[np.int64] = reach[np.arange(n), rank[reach].argmin(axis=1)]
        return chosen


def _score(problem: Problem, genome: IntArray) -> tuple[float, float]:
    costs, violations = problem.evaluate(genome[None, :])
    return float(violations[0]), float(costs[0])
