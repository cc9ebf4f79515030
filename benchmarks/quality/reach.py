"""How often each metaheuristic reaches the proven optimum: ten distinct nodes, 80 blocks and two ends, ten seeds.

Run from the repository: ``python -m benchmarks.quality.reach [--seeds 10] [--seconds 10] [--instances 5]``. Seconds are
of processor time, so that a busy machine does not change the count. Prints seeds that reached and the median seconds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.quality.exact_times import OBJECTIVES, instance
from objectives.combine import Objective
from placement.kinds.pipeline.problem import PipelineProblem
from placement.registry import make_solver
from placement.search.loop import Outcome, run
from placement.search.solver import Solver
from placement.search.stop import Progress, StoppedBy

SOLVERS = ("genetic", "annealing", "pso", "tabu", "auto")
CLOSE = 1 + 1e-7


def search(problem: PipelineProblem, solver: Solver, seed: int, seconds: float, target: float) -> Outcome:
    """Run one solver for some seconds of processor time, or until the target is reached."""
    began = time.process_time()

    def stop(progress: Progress) -> StoppedBy | None:
        if progress.violation == 0 and progress.cost <= target:
            return StoppedBy.TARGET
        return StoppedBy.TIME if time.process_time() - began > seconds else None

    rng = np.random.default_rng(seed)
    return run(problem, solver, rng=rng, start=problem.starts(), stop=stop, bound=problem.lower_bound())


def main() -> None:
    """Prove each instance, then let every solver try."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--instances", type=int, default=5)
    arguments = parser.parse_args()
    print("| instance | optimum | " + " | ".join(SOLVERS) + " |")
    print("| --- | --- |" + " --- |" * len(SOLVERS))
    for seed in range(arguments.instances):
        weights, limits = OBJECTIVES[seed % len(OBJECTIVES)]
        tables = instance(np.random.default_rng(1000 + seed), np.arange(10), 80, (1, 8, 32)[seed % 3])
        problem = PipelineProblem(tables, Objective(weights, limits))
        proof = search(problem, make_solver("exact"), 0, 60.0, -np.inf)
        cells = []
        for name in SOLVERS:
            runs = [
                search(problem, make_solver(name), k, arguments.seconds, proof.score.cost * CLOSE)
                for k in range(arguments.seeds)
            ]
            reached = [outcome for outcome in runs if outcome.score.cost <= proof.score.cost * CLOSE]
            median = np.median([outcome.seconds for outcome in reached]) if reached else np.nan
            cells.append(f"{len(reached)}/{len(runs)} in {median:.2f} s")
        label = f"{problem.objective.name}, C={tables.concurrency}" + (f", {dict(limits)}" if limits else "")
        proven = "" if proof.stopped_by is StoppedBy.OPTIMAL else " (not proven)"
        print(f"| {label} | {proof.score.cost:.6g}{proven} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
