"""Chains through given swarms: NSGA-II against the exact front, and fronts with a third objective.

Run from the repository: ``python -m benchmarks.quality.swarm [pareto] [third]``; each part ends with median, least and
most. `pareto`: 50 swarms of 10 to 60 servers, hypervolume of NSGA-II after 2 s over that of the exact front; seconds of
the exact front of 200 servers. `third`: seconds and chains of fronts with a price.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import get_args

import numpy as np
import numpy.typing as npt

from objectives.pareto import hypervolume_ratio
from objectives.routes.swarm import Shape, Swarm
from placement import optimize
from placement.kinds.routes.solvers.portfolio import FRONTS
from placement.question.routes import RoutesQuestion
from placement.search.solver import Solver

from .swarm_cases import drawn_swarm


def front(
    swarm: Swarm,
    shape: Shape,
    *,
    third: str = "",
    precision: float = 0.0,
    solver: str | Solver = "exact",
    seconds: float = float("inf"),
) -> list[tuple[float, ...]]:
    """Chains that no other one beats: s per token, s per token of the slowest server, and the third value."""
    objective = ["latency", "throughput", *([third] if third else [])]
    question = RoutesQuestion(swarm, shape, precision)
    found = optimize(None, question, objective=objective, solver=solver, time_limit=seconds).plan
    return [
        (point.values["latency"], 1.0 / point.values["throughput"], *([point.values[third]] if third else []))
        for point in found.pareto
    ]


def pareto(count: int = 50, seconds: float = 2.0) -> None:
    """Print the ratio for every swarm, their mean, and the time of the exact front of a large one."""
    shapes: tuple[Shape, Shape] = ("star", "chain")
    large = drawn_swarm(1, 200)
    front(drawn_swarm(2, 12), "star", solver=FRONTS, seconds=0.1)  # compiles
    for shape in shapes:
        began = time.perf_counter()
        points = len(front(large, shape))
        print(
            f"exact front of 200 servers and 80 blocks, {shape}: {points} chains, {time.perf_counter() - began:.3f} s"
        )
    ratios = []
    for k, servers in enumerate(np.linspace(10, 60, count).astype(int).tolist()):
        swarm, shape = drawn_swarm(k, servers), shapes[k % 2]
        exact = front(swarm, shape)
        ratios.append(hypervolume_ratio(front(swarm, shape, solver=FRONTS, seconds=seconds), exact))
        print(
            f"{servers:3d} servers, {shape:<5}: {len(exact):3d} chains on the front, ratio {ratios[-1]:.4f}", flush=True
        )
    print(f"hypervolume ratio: mean {np.mean(ratios):.4f}, {summary(ratios)}")


def summary(values: list[float] | npt.NDArray[np.float64]) -> str:
    """Median, least and most."""
    return f"median {np.median(values):.4f}, min {np.min(values):.4f}, max {np.max(values):.4f}"


def third(counts: tuple[int, ...] = (20, 40, 60)) -> None:
    """Print how long fronts of latency, throughput and price take, and how many chains they have."""
    took = []
    for precision in (0.03, 0.01):
        for servers in counts:
            for shape in get_args(Shape):
                began = time.perf_counter()
                chains = len(front(drawn_swarm(7, servers), shape, third="price", precision=precision))
                took.append(time.perf_counter() - began)
                print(
                    f"{servers:3d} servers, {shape:<5} precision {precision:.0%}: {chains:5d} chains, {took[-1]:.2f} s"
                )
    print(f"seconds of a front with prices: {summary(took)}")


if __name__ == "__main__":
    parts = sys.argv[1:] or ["pareto", "third"]
    for part in parts:
        named: dict[str, Callable[[], None]] = {"pareto": pareto, "third": third}
        named[part]()
