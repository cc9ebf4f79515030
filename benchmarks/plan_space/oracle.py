"""Random tiny hosts: what is found against plain enumeration over groupings, parts, orders and cuts.

By default the values, bounds and proofs of one solver are compared. With `--reach`, each solver has `--seeds` attempts
at every instance, which end once the optimum is there; told is on how many instances at least nine of ten reach it::

    python -m benchmarks.plan_space.oracle --instances 300 --solvers auto
    python -m benchmarks.plan_space.oracle --reach --first 0 --instances 300 --seeds 10 --seconds 5 --processes 16
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

from placement import optimize
from placement.errors import InputError, PlacementError
from placement.plan.plan import Plan
from placement.readers.cluster.read import read_request
from placement.search.stop import Progress
from tests.kinds.space.instances import best_by_hand, best_split, choices, host, offloading

METAHEURISTICS = ("annealing", "tempering", "genetic", "tabu", "pso", "beam")
ALIKE = 1e-9
NINE_TENTHS = 0.9


def question(seed: int) -> tuple[dict[str, Any], float]:
    """An instance as a cluster file, and the least cost of all its plans by enumeration."""
    rng = np.random.default_rng(seed)
    parts = bool(seed % 2)
    if parts:
        some = {"mixed": seed % 5 in (0, 2), "cached": seed % 7 in (0, 1, 3, 5)}
        data = offloading(rng, cards=1 + seed % 4 // 2, blocks=6, **some)
        data["objective"] = ("latency", "ttft", "request_time")[seed % 3]
        data["workload"]["concurrency"] = 1
    else:
        data = host(rng, devices=2 + seed % 4 // 2, blocks=int(rng.integers(5, 8)), alike=bool(seed % 3))
    data["copies"] = 1  # what is enumerated is one pipeline
    request = read_request(data)
    return data, min(map(best_split, choices(request))) if parts else best_by_hand(request)


def cost_of(plan: Plan) -> float:
    """What the enumeration minimises."""
    return 1.0 / plan.objective.value if plan.objective.sense == "maximize" else plan.objective.value


def compared(job: tuple[int, str, float]) -> Counter[str]:
    """What one solver makes of an instance: equal, worse, better, infeasible in both; proofs, and bounds above it."""
    seed, solver, seconds = job
    data, best = question(seed)
    try:
        plan = optimize(None, data, solver=solver, time_limit=seconds).plan
    except InputError:
        raise
    except PlacementError:
        return Counter({"worse" if np.isfinite(best) else "infeasible": 1})
    cost, inverse = cost_of(plan), plan.objective.sense == "maximize"
    kind = "equal" if abs(cost / best - 1) < ALIKE else "worse" if cost > best else "better"
    if kind != "equal":
        print(f"seed {seed}, {solver}: {kind}, {cost:.9g} against {best:.9g}", file=sys.stderr)
    found = Counter({kind: 1, "proven": int(plan.objective.proven_optimal)})
    if plan.objective.bound is not None:
        bound = 1.0 / plan.objective.bound if inverse else plan.objective.bound
        found["false bound"] += int(bound > best * (1 + ALIKE))
    return found


@dataclass
class Reached:
    """Stops a search, and all that follow in the same race, once a cost is there."""

    cost: float
    done: bool = False

    def __call__(self, progress: Progress) -> bool:
        """Whether the search may end."""
        self.done = self.done or (progress.violation == 0 and progress.cost <= self.cost * (1 + ALIKE))
        return self.done


def reached(job: tuple[int, str, float, int]) -> Counter[str]:
    """How often one solver reaches the optimum of an instance within the time, of so many attempts."""
    seed, solver, seconds, attempts = job
    data, best = question(seed)
    if not np.isfinite(best):
        return Counter({"infeasible": 1})
    hits = 0
    for attempt in range(attempts):
        stop = Reached(best)
        with suppress(PlacementError):
            plan = optimize(None, data, solver=solver, time_limit=seconds, seed=attempt, stop=stop).plan
            hits += plan.status != "infeasible" and cost_of(plan) <= best * (1 + ALIKE)
    if hits < NINE_TENTHS * attempts:
        print(f"seed {seed}, {solver}: {hits} of {attempts}", file=sys.stderr, flush=True)
    return Counter({"instances": 1, "nine of ten": int(hits >= NINE_TENTHS * attempts), "hits": hits, "runs": attempts})


def main() -> None:
    """Compare on many instances; say how many differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="seed of the first instance")
    parser.add_argument("--solvers", nargs="+", help="by default auto; with --reach, every metaheuristic")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--reach", action="store_true")
    parser.add_argument("--seeds", type=int, default=10, help="attempts at an instance, with --reach")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--budget", type=float, default=np.inf, help="seconds after which nothing new is counted")
    options = parser.parse_args()
    seeds, until = range(options.first, options.first + options.instances), time.monotonic() + options.budget
    work: Callable[[Any], Counter[str]] = reached if options.reach else compared
    more = (options.seeds,) if options.reach else ()
    solvers = options.solvers or (METAHEURISTICS if options.reach else ("auto",))
    jobs = [(seed, solver, options.seconds, *more) for seed in seeds for solver in solvers]
    totals: dict[str, Counter[str]] = {solver: Counter() for solver in solvers}
    with get_context("spawn").Pool(options.processes) as pool:
        for job, found in zip(jobs, pool.imap(work, jobs), strict=True):
            totals[job[1]] += found
            if time.monotonic() > until:
                print(f"the time is over after instance {job[0]}", file=sys.stderr)
                break
        pool.terminate()
    for solver, found in totals.items():
        print(f"{solver}: " + ", ".join(f"{name} {count}" for name, count in sorted(found.items())))


if __name__ == "__main__":
    main()
