"""`auto` on large mixed clusters: its value after 10 s against its own after 60 s, and against today's best split.

Run from the repository: ``python -m benchmarks.quality.large [--short 10] [--long 60]``. Clusters of 64 nodes of ten
device types of the catalog in one to four regions, Llama-3.1-405B in int8 (128 blocks), seeded. Yardsticks that break
memory do not count. Seconds are wall clock.
"""

from __future__ import annotations

import argparse

import numpy as np

from placement.catalog.hardware import devices
from placement.kinds.pipeline.problem import PipelineProblem, problem_of
from placement.question.request import Request
from placement.readers.cluster.read import read_request
from placement.registry import SOLVERS, is_yardstick, make_solver
from placement.search.loop import run
from placement.search.stop import time_limit

DEVICES = (
    "a100-40gb-pcie",
    "l4",
    "t4",
    "a10g",
    "rtx-4090",
    "rtx-3090",
    "v100-16gb",
    "rtx-3060-12gb",
    "a30",
    "l40s",
)
CASES = (
    ("decode_rate", 16, 3),
    ("decode_rate", 64, 1),
    ("latency", 1, 4),
    ("request_time", 1, 2),
    ({"latency": 1.0, "price": 0.002}, 4, 3),
)


def cluster(seed: int, regions: int, objective: object, concurrency: int, nodes: int = 64) -> Request:
    """A seeded mixed cluster."""
    rng = np.random.default_rng(seed)
    names = [name for name in DEVICES if name in devices()]
    within = {f"r{k}": {"bandwidth": f"{rng.choice([1, 10, 25])} Gbit/s", "latency": "0.2 ms"} for k in range(regions)}
    between = [
        {
            "regions": [f"r{a}", f"r{b}"],
            "bandwidth": f"{rng.uniform(0.1, 2):.2f} Gbit/s",
            "latency": f"{rng.uniform(5, 80):.1f} ms",
        }
        for a in range(regions)
        for b in range(a)
    ]
    entries = [
        {"name": f"n{k}", "device": str(rng.choice(names)), "region": f"r{rng.integers(regions)}"} for k in range(nodes)
    ]
    return read_request(
        {
            "model": "llama-3.1-405b",
            "quantization": "int8",
            "objective": objective,
            "client": {"region": "r0"},
            "workload": {"prompt_tokens": 512, "output_tokens": 128, "concurrency": concurrency},
            "nodes": entries,
            "network": {"within": within, **({"between": between} if between else {})},
        }
    )


def cost(problem: PipelineProblem, name: str, seconds: float) -> tuple[float, float, float]:
    """Cost, violation and gap to the bound after some seconds of one solver."""
    none = np.empty((0, problem.genome_size), dtype=np.int64)
    outcome = run(
        problem,
        make_solver(name),
        rng=np.random.default_rng(0),
        stop=time_limit(seconds),
        start=none if is_yardstick(name) else problem.starts(),
        bound=problem.lower_bound(),
    )
    return outcome.score.cost, outcome.score.violation, outcome.score.cost / outcome.bound - 1


def main() -> None:
    """Print one row for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", type=float, default=10.0)
    parser.add_argument("--long", type=float, default=60.0)
    arguments = parser.parse_args()
    print("| case | best yardstick | auto, short | auto, long | short over long | better than yardstick | gap |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for seed, (objective, concurrency, regions) in enumerate(CASES):
        problem = problem_of(cluster(seed, regions, objective, concurrency))
        rivals = {name: cost(problem, name, 5) for name, entry in SOLVERS.items() if entry.role == "yardstick"}
        best = min((value, name) for name, (value, violation, _) in rivals.items() if violation == 0)
        short, _, gap = cost(problem, "auto", arguments.short)
        long, _, _ = cost(problem, "auto", arguments.long)
        label = f"{problem.objective.name}, C={concurrency}, {regions} regions"
        print(
            f"| {label} | {best[0]:.5g} ({best[1]}) | {short:.5g} | {long:.5g} | {short / long - 1:.2%} | "
            f"{1 - short / best[0]:.0%} | {gap:.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
