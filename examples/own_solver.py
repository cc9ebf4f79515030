"""A solver of your own: a frozen dataclass with one method. This one climbs hills; compare it with the default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from placement import optimize
from placement.search.problem import Problem
from placement.search.solver import IntArray, Proposal, kicked


@dataclass(frozen=True)
class HillClimber:
    """From the best placement so far to the best of its neighbours a few random moves away."""

    children: int = 64
    moves: int = 3

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Climb for ever: the loop around it keeps the time, the trace and the best."""
        pool = start
        while True:
            costs, violations = problem.evaluate(pool)
            best = pool[np.lexsort((costs, violations))[0]]  # least violation first, then least cost
            yield Proposal(best[None, :].copy(), len(pool))
            moved = [kicked(problem, best, rng, int(rng.integers(1, self.moves + 1))) for _ in range(self.children)]
            pool = np.stack([best, *moved])


if __name__ == "__main__":
    cluster = Path(__file__).with_name("mixed_cluster.yaml")
    for solver in (HillClimber(), "auto"):
        plan = optimize(None, cluster, solver=solver, time_limit=3).plan
        print(f"{plan.solver}: {plan.objective.value:.2f} {plan.objective.unit}")
