"""Swarms: NSGA-II against the exact front, spans against Petals' rules, and churn.

Run from the repository: ``python -m benchmarks.quality.swarm [pareto] [third] [spans] [churn]``; each part ends with
median, least and most. `pareto`: 50 swarms of 10 to 60 servers, hypervolume of NSGA-II after 2 s over that of the exact
front; seconds of the exact front of 200 servers. `third`: seconds and chains of fronts with a price. `spans`: 30 swarms
of 8 to 20 servers and 80 blocks, bottleneck throughput against Petals' greedy joining with rebalancing. `churn`: 20
simulated days, 20 servers, lifetimes of 4 hours, 5 sites; Petals' rules against ours with three weights on moving.
"""

from __future__ import annotations

import sys
import time
from typing import get_args

import numpy as np
import numpy.typing as npt

from objectives.routes.swarm import Shape, Swarm
from placement.kinds.routes.front import exact_front, exact_front_3d
from placement.kinds.routes.problem import hypervolume_ratio, search_front
from placement.simulate.churn.balance import Balance, balanced, petals_balance
from placement.simulate.churn.rules import PetalsRule, Rule, WeighedRule
from placement.simulate.churn.simulate import Day, simulate_day
from placement.simulate.churn.world import World, drawn_world, life

from .swarm_cases import drawn_swarm


def pareto(count: int = 50, seconds: float = 2.0) -> None:
    """Print the ratio for every swarm, their mean, and the time of the exact front of a large one."""
    shapes: tuple[Shape, Shape] = ("star", "chain")
    large = drawn_swarm(1, 200)
    search_front(drawn_swarm(2, 12), seconds=0.1)  # compiles
    for shape in shapes:
        began = time.perf_counter()
        points = len(exact_front(large, shape))
        print(
            f"exact front of 200 servers and 80 blocks, {shape}: {points} chains, {time.perf_counter() - began:.3f} s"
        )
    ratios = []
    for k, servers in enumerate(np.linspace(10, 60, count).astype(int).tolist()):
        swarm, shape = drawn_swarm(k, servers), shapes[k % 2]
        exact = exact_front(swarm, shape)
        ratios.append(hypervolume_ratio(search_front(swarm, shape, seconds=seconds), exact))
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
                chains = len(exact_front_3d(drawn_swarm(7, servers), shape, "price", precision=precision))
                took.append(time.perf_counter() - began)
                print(
                    f"{servers:3d} servers, {shape:<5} precision {precision:.0%}: {chains:5d} chains, {took[-1]:.2f} s"
                )
    print(f"seconds of a front with prices: {summary(took)}")


def spans(count: int = 30) -> None:
    """Print the bottleneck throughput of Petals' rules and ours, and the fastest route's latency beside it."""
    rows = []
    for k in range(count):
        rng = np.random.default_rng(60_000 + k)
        world = drawn_world(k, servers=int(rng.integers(8, 21)))
        sizes = [min(80, round(size * max(1.0, 100 / sum(world.sizes)))) for size in world.sizes]
        petals = petals_balance(sizes, world.speeds, 80, rng)
        equal = balanced(sizes, world.speeds, 80, shrink=False, start=petals)
        shorter = balanced(sizes, world.speeds, 80, shrink=True, start=equal)
        values = [plan.bottleneck for plan in (petals, equal, shorter)]
        delays = [latency(world, plan) for plan in (petals, equal, shorter)]
        rows.append([equal.bottleneck / petals.bottleneck, shorter.bottleneck / petals.bottleneck])
        rows[-1] += [delays[1] / delays[0], delays[2] / delays[0]]
        print(f"{len(sizes):3d} servers: blocks/s {np.round(values, 2)}, ms/token {np.round(delays, 1)}", flush=True)
    table = np.array(rows)
    for label, column in zip(("equal spans", "spans may shrink"), (0, 1), strict=True):
        ratio, delay = table[:, column], table[:, column + 2]
        print(f"{label}: throughput x{ratio.mean():.3f} on average, {summary(ratio)}; latency x{delay.mean():.3f}")


def latency(world: World, plan: Balance) -> float:
    """Milliseconds per token of the fastest route, star; infinite when a block is held by nobody."""
    n = world.n_servers
    places = np.append(world.sites, 0)
    held = np.array(plan.spans)
    swarm = Swarm(
        tuple(str(j) for j in range(n)), held[:, 0], held[:, 1], 1.0 / world.speeds, world.speeds,
        world.rtt_s[np.ix_(places, places)], world.n_blocks,
    )  # fmt: skip
    return float("inf") if swarm.missing is not None else 1e3 * exact_front(swarm)[0].latency_s


def churn(days: int = 20) -> None:
    """Print sums and means over the days for every rule."""
    rules: dict[str, Rule] = {"petals": PetalsRule()}
    rules |= {f"weight {weight:g}": WeighedRule(weight) for weight in (0.2, 1.0, 5.0)}
    head = ("arrived", "served", "mean s", "p95 s", "outage min", "moves", "GB")
    print(f"{'rule':<12}" + "".join(f"{word:>11}" for word in head))
    served: dict[str, list[int]] = {}
    for name, rule in rules.items():
        found: list[Day] = []
        for day in range(days):
            world = drawn_world(day)
            found.append(simulate_day(world, rule, life(world, day), seed=day))
        mean = {key: float(np.nanmean([getattr(day, key) for day in found])) for key in ("mean_s", "p95_s", "outage_s")}
        cells = [
            f"{sum(d.arrived for d in found)}", f"{sum(d.served for d in found)}", f"{mean['mean_s']:.1f}",
            f"{mean['p95_s']:.1f}", f"{mean['outage_s'] / 60:.1f}", f"{sum(d.moves for d in found)}",
            f"{sum(d.loaded_bytes for d in found) / 1e9:.0f}",
        ]  # fmt: skip
        print(f"{name:<12}" + "".join(f"{cell:>11}" for cell in cells), flush=True)
        served[name] = [day.served for day in found]
    for name in rules:
        if name != "petals":
            print(f"{name}: sessions served over Petals', by day: {summary(np.divide(served[name], served['petals']))}")


if __name__ == "__main__":
    parts = sys.argv[1:] or ["pareto", "third", "spans", "churn"]
    for part in parts:
        {"pareto": pareto, "third": third, "spans": spans, "churn": churn}[part]()
