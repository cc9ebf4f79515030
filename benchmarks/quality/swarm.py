"""Swarms: NSGA-II against the exact front, spans against Petals' rules, and churn.

Run from the repository: ``python -m benchmarks.quality.swarm [pareto] [spans] [churn]``. `pareto`: 50 swarms of 10 to 60
servers, hypervolume of NSGA-II after 2 s over that of the exact front, and seconds of the exact front of 200 servers.
`churn`: 20 simulated days, 20 servers, lifetimes of 4 hours, 5 sites; Petals' rules against ours with three weights.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from placement.churn.rules import PetalsRule, Rule, WeighedRule
from placement.churn.simulate import Day, simulate_day
from placement.churn.world import drawn_world, life
from placement.routes.front import exact_front
from placement.routes.search import hypervolume_ratio, search_front
from placement.routes.swarm import Shape

from .swarm_cases import drawn_swarm


def pareto(count: int = 50, seconds: float = 2.0) -> None:
    """Print the ratio for every swarm, their mean, and the time of the exact front of a large one."""
    shapes: tuple[Shape, Shape] = ("star", "chain")
    large = drawn_swarm(1, 200)
    search_front(drawn_swarm(2, 12), seconds=0.1)  # compiles
    for shape in shapes:
        began = time.perf_counter()
        points = len(exact_front(large, shape))
        print(f"exact front of 200 servers and 80 blocks, {shape}: {points} chains, {time.perf_counter() - began:.3f} s")
    ratios = []
    for k, servers in enumerate(np.linspace(10, 60, count).astype(int).tolist()):
        swarm, shape = drawn_swarm(k, servers), shapes[k % 2]
        exact = exact_front(swarm, shape)
        ratios.append(hypervolume_ratio(search_front(swarm, shape, seconds=seconds), exact))
        print(f"{servers:3d} servers, {shape:<5}: {len(exact):3d} chains on the front, ratio {ratios[-1]:.4f}", flush=True)
    print(f"hypervolume ratio: mean {np.mean(ratios):.4f}, least {np.min(ratios):.4f}")


def churn(days: int = 20) -> None:
    """Print sums and means over the days for every rule."""
    rules: dict[str, Rule] = {"petals": PetalsRule()}
    rules |= {f"weight {weight:g}": WeighedRule(weight) for weight in (0.2, 1.0, 5.0)}
    print(f"{'rule':<12} {'arrived':>8} {'served':>8} {'mean s':>7} {'p95 s':>7} {'outage min':>10} {'moves':>6} {'GB':>8}")
    for name, rule in rules.items():
        found: list[Day] = []
        for day in range(days):
            world = drawn_world(day)
            found.append(simulate_day(world, rule, life(world, day), seed=day))
        mean = {key: float(np.nanmean([getattr(day, key) for day in found])) for key in ("mean_s", "p95_s", "outage_s")}
        print(
            f"{name:<12} {sum(d.arrived for d in found):8d} {sum(d.served for d in found):8d} {mean['mean_s']:7.1f} "
            f"{mean['p95_s']:7.1f} {mean['outage_s'] / 60:10.1f} {sum(d.moves for d in found):6d} "
            f"{sum(d.loaded_bytes for d in found) / 1e9:8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    parts = sys.argv[1:] or ["pareto", "churn"]
    for part in parts:
        {"pareto": pareto, "churn": churn}[part]()
