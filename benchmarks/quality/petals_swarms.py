"""Sixty simulated days of Petals swarms: Petals' rules, GBP-CR + GCA + JFFC, and ours.

Run from the repository: ``python -m benchmarks.quality.petals_swarms [--swarms 60] [--hours 24] [--first 0]``. 8 to 40
servers of five classes of GPU at 3 to 5 sites, BLOOM-176B in nf4 (the parameters of arXiv:2604.14993), lifetimes of
four hours, gaps of twenty minutes, downloads of 1 Gbit/s. Arrivals are 0.7 of what GBP-CR + GCA serve with all servers.
Every rule meets the same joins, leaves, arrivals and sizes of sessions.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from objectives.sessions.baselines import all_servers, composed, placements
from objectives.sessions.chains import Fleet, total_rate
from placement.kinds.sessions.problem import SessionsProblem
from placement.simulate.churn.day import ChurningSwarm, DayFigures, SwarmRule, simulate_day
from placement.simulate.churn.lifetimes import drawn_events
from placement.simulate.churn.swarm_rules import ComposedChainsRule, PetalsRule, SteadySpanRule

BLOCKS, BLOCK_BYTES, CACHE_BYTES = 70, 1_320_000_000, 118_600_000
FLOPS_PER_TOKEN, OVERHEAD_S, HOP_S = 5e9, 1e-3, 0.018
PROMPT, OUTPUT, LOAD = 200, 1848, 0.7  # a cache holds 2048 tokens
# Bytes of memory, FLOP/s and bytes/s of A100 80 GB, A100 40 GB, RTX 4090, RTX 3090, T4.
CLASSES = np.array(
    [
        (79.1e9, 312e12, 2039e9),
        (39.6e9, 312e12, 1555e9),
        (23.6e9, 165e12, 1008e9),
        (23.6e9, 71e12, 936e9),
        (14.6e9, 65e12, 320e9),
    ]
)
SHARES = (0.15, 0.2, 0.25, 0.25, 0.15)
RULES = ("petals", "gbp-cr+gca+jffc", "ours")


def drawn(seed: int) -> ChurningSwarm:
    """Draw a swarm that can hold the model about twice or more."""
    rng = np.random.default_rng(70_000 + seed)
    servers, sites = int(rng.integers(8, 41)), int(rng.integers(3, 6))
    kinds = rng.choice(5, servers, p=SHARES)
    while CLASSES[kinds, 0].sum() < 2.2 * BLOCKS * BLOCK_BYTES:  # a small swarm needs larger servers
        kinds[int(np.argmax(kinds))] -= 1
    memory, flops, bandwidth = CLASSES[kinds].T
    place = rng.uniform(0.0, 0.05, (sites, 2))
    where = np.append(rng.integers(0, sites, servers), 0)
    rtt = 2.0 * np.linalg.norm(place[where][:, None] - place[where][None, :], axis=2) + 0.002
    rtt += np.triu(rng.uniform(0.0, 0.01, rtt.shape), 1) + np.triu(rng.uniform(0.0, 0.01, rtt.shape), 1).T
    rtt = (rtt + rtt.T) / 2
    block = PROMPT * FLOPS_PER_TOKEN / flops + OUTPUT * (BLOCK_BYTES / bandwidth + OVERHEAD_S)
    fleet = Fleet(
        tuple(f"s{j}" for j in range(servers)),
        memory.astype(np.int64),
        OUTPUT * (rtt[-1, :servers] + HOP_S),
        block,
        BLOCKS,
        BLOCK_BYTES,
        CACHE_BYTES,
        1.0,
    )
    problem = SessionsProblem(fleet)
    layouts = list(placements(fleet, all_servers, 1.05))
    costs, broken = problem.evaluate(np.stack([problem.genome(spans) for spans in layouts]))
    best = composed(fleet, layouts[int(np.lexsort((costs, broken))[0])])
    rate = total_rate(fleet, best.chains)
    return ChurningSwarm(replace(fleet, arrivals_per_s=LOAD * rate), rtt, OUTPUT)


def made(name: str) -> SwarmRule:
    """A rule by name."""
    rules: dict[str, type[SwarmRule]] = {
        "petals": PetalsRule,
        "gbp-cr+gca+jffc": ComposedChainsRule,
        "ours": SteadySpanRule,
    }
    return rules[name]()


def main() -> None:
    """Print a line for each day and rule, then means and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--swarms", type=int, default=60)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--first", type=int, default=0)
    words = parser.parse_args()
    days: dict[str, list[DayFigures]] = {name: [] for name in RULES}
    seconds = words.hours * 3600.0
    for seed in range(words.first, words.first + words.swarms):
        swarm = drawn(seed)
        events = drawn_events(swarm.n_servers, swarm.life_s, swarm.gap_s, seed=seed, seconds=seconds)
        for name in RULES:
            began = time.perf_counter()
            day = simulate_day(swarm, made(name), events, seed=seed, seconds=seconds)
            days[name].append(day)
            print(
                f"{seed:3d} {swarm.n_servers:3d} servers {name:<16} {day.served:6d} of {day.arrived:6d} served, "
                f"mean {day.mean_s:6.0f} s, p95 {day.p95_s:6.0f} s, broken {day.broken:5d}, gave up {day.gave_up:5d}, "
                f"outage {day.outage_s / 60:5.0f} min, moves {day.moves:4d}, {day.loaded_bytes / 1e9:6.0f} GB "
                f"({time.perf_counter() - began:.1f} s)",
                flush=True,
            )
    summary(days, seconds)


def summary(days: dict[str, list[DayFigures]], seconds: float) -> None:
    """Means over the swarms, and ours against each of the others, swarm by swarm."""
    print(
        f"\n{'rule':<17}{'served/h':>10}{'mean s':>9}{'p95 s':>9}{'broken':>8}{'outage min':>12}{'moves':>8}{'GB':>9}"
    )
    for name, found in days.items():
        hours = seconds / 3600.0
        cells = [np.mean([day.served for day in found]) / hours, np.nanmean([day.mean_s for day in found])]
        cells += [np.nanmean([day.p95_s for day in found]), np.mean([day.broken for day in found])]
        cells += [np.mean([day.outage_s for day in found]) / 60, np.mean([day.moves for day in found])]
        cells += [np.mean([day.loaded_bytes for day in found]) / 1e9]
        print(
            f"{name:<17}{cells[0]:10.1f}{cells[1]:9.0f}{cells[2]:9.0f}"
            + "".join(f"{c:{w}.1f}" for c, w in zip(cells[3:], (8, 12, 8, 9), strict=True))
        )
    ours = days["ours"]
    for name in RULES[:2]:
        served = sum(day.served for day in ours) / max(1, sum(day.served for day in days[name]))
        mean = np.mean([day.mean_s for day in ours]) / np.mean([day.mean_s for day in days[name]])
        both = [shared(a, b) for a, b in zip(ours, days[name], strict=True)]
        first, second = np.mean(both, axis=0)
        moves = sum(day.moves for day in ours) / max(1, sum(day.moves for day in days[name]))
        print(
            f"ours / {name}: served x{served:.3f}, mean response x{mean:.3f}, moves x{moves:.2f}; "
            f"sessions that both serve: {first:.0f} s against {second:.0f} s, x{first / second:.3f}, "
            f"faster in {sum(a < b for a, b in both)} of {len(both)} swarms"
        )


def shared(ours: DayFigures, other: DayFigures) -> tuple[float, float]:
    """Mean response in s of the sessions that both serve, under each."""
    mine, theirs = dict(ours.responses), dict(other.responses)
    arrivals = [at for at in mine if at in theirs]
    return float(np.mean([mine[at] for at in arrivals])), float(np.mean([theirs[at] for at in arrivals]))


if __name__ == "__main__":
    main()
