"""Replicated placements: value against bound and baselines, per seed.

python -m benchmarks.quality.replicated [--instances DIR] [--objective flow] [--edges exact] [--seeds 10] [--seconds 10]

Without a folder of cases it invents clusters of the published kinds: 24 to 42 nodes, 1 to 3 regions, 60 or 80 blocks.
With ``--objective served`` plans are also measured in the closed-loop simulation.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from objectives.combine import REPLICATED
from objectives.replicated.flow_bounds import capped_bound
from placement.kinds.replicated.orders import served_in_simulation
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.kinds.replicated.solvers.chain import Chain
from placement.kinds.replicated.solvers.portfolio import ReplicatedPortfolio
from placement.kinds.replicated.solvers.yardsticks import EqualStages, Petals, Separate
from placement.question.case import ReplicatedCase
from placement.question.objective import objective_of
from placement.readers.helix import load_helix, read_helix
from placement.search.loop import run
from placement.search.solver import IntArray
from placement.search.stop import time_limit
from placement.simulate.closed_loop import helix_run

# Invented nodes: blocks held, tokens/s of one block, fall of the rate with more blocks, ms per block (prompt, decode).
TYPES = {
    "large": (18, 8000.0, 1.02, 3.5, 1.1),
    "middle": (11, 3500.0, 1.25, 24.0, 5.0),
    "small": (7, 2400.0, 1.2, 42.0, 6.0),
    "double": (14, 6000.0, 1.25, 22.0, 3.0),
}
REQUESTS = 300  # that a simulation serves


def invent(seed: int) -> dict[str, Any]:
    """A seeded cluster: rates that fall with the number of blocks, with the bumps of measurements."""
    rng = np.random.default_rng(seed)
    nodes, regions, blocks = int(rng.integers(24, 43)), 1 + seed % 3, int(rng.choice([60, 80]))
    types = {}
    for name, (most, rate, fall, prompt, decode) in TYPES.items():
        counts = np.arange(1, most + 1)
        rates = rate / counts**fall * rng.uniform(0.92, 1.08, most)
        bump = int(rng.integers(1, most))
        rates[bump] *= 1.25
        types[name] = {
            "max_layers": most,
            "throughput": rates.tolist(),
            "kv_cache_tokens_x_layers": (7e4 * most * (1.15 - counts / most)).tolist(),
            "nic_in": 1e10,
            "nic_out": 1e10,
            "prompt_ms_per_layer": [[0, 0], *([250 * k, prompt * 250 * k / 1000] for k in range(1, 31))],
            "decode_ms_per_layer": [[0, 0], *([2 * k, decode * (1 + 0.01 * 2 * k)] for k in range(1, 201))],
        }
    region = rng.integers(0, regions, nodes)
    near = (region[:, None] == region[None, :]) & ~np.eye(nodes, dtype=bool)
    far = ~near & ~np.eye(nodes, dtype=bool)
    slow = rng.integers(100, 150, (nodes, nodes)) * 1e5
    client = rng.integers(100, 150, nodes) * 1e5 if regions > 1 else np.full(nodes, 1e9)
    names = rng.choice(list(TYPES), nodes, p=[0.15, 0.3, 0.4, 0.15])
    return {
        "name": f"invented-{seed}",
        "model": {"num_layers": blocks, "token_bytes": 2, "activation_bytes": 13312, "layer_bytes": 1e9},
        "node_types": types,
        "nodes": [{"id": i, "type": str(names[i]), "region": int(region[i])} for i in range(nodes)],
        "links": {
            "bandwidth": (near * 1e9 + far * slow).tolist(),
            "latency": (near * 0.001 + far * rng.uniform(0.04, 0.06, (nodes, nodes))).tolist(),
            "source_bandwidth": client.tolist(),
            "source_latency": 0.001 if regions == 1 else 0.05,
            "sink_bandwidth": client.tolist(),
            "sink_latency": 0.001 if regions == 1 else 0.05,
        },
        "coordinator": {"nic_in": 1e10, "nic_out": 1e10},
        "workload": {"mean_prompt_tokens": 763, "mean_output_tokens": 232},
    }


def cases_of(folder: Path | None, invented: int, *, partial: bool) -> list[ReplicatedCase]:
    """Read the cases of a folder, or invent so many."""
    if folder is not None:
        return [load_helix(path, partial=partial) for path in sorted(folder.glob("*.json"))]
    return [read_helix(invent(seed), partial=partial) for seed in range(invented)]


def simulated(problem: ReplicatedProblem, genome: IntArray, seed: int = 0, requests: int = REQUESTS) -> float:
    """Output tokens/s in the simulation, over about so many requests, after a third as many of warm-up.

    A case whose caches are filled in part, as by Helix's rules, is judged by Helix's run instead.
    """
    spans, rng = problem.decode(genome), np.random.default_rng(seed)
    if problem.tables.cache_fill == 1.0:
        return served_in_simulation(problem, spans, rng, requests)
    return helix_run(problem.tables, spans, problem.details(spans)[0].service.weights, rng).tokens_per_s


def measure(case: ReplicatedCase, objective: str, seeds: int, seconds: float, sim: bool) -> None:
    """Print one case."""
    problem = ReplicatedProblem(case.tables, objective_of(objective, REPLICATED))
    starts = problem.starts()
    print(
        f"{case.name}: {case.tables.n_nodes} nodes, {case.tables.n_blocks} blocks, "
        f"bound on flow {capped_bound(case.tables):.3f}"
    )
    # Petals' spans do not line up: they are scored under the rule that they are made for.
    loose = ReplicatedProblem(replace(case.tables, partial=True), problem.objective)
    for maker in (Petals(), EqualStages(), Separate(), Chain()):
        genome = next(maker.search(problem, np.random.default_rng(0), starts)).genomes
        rule = loose if isinstance(maker, Petals) else problem
        costs, broken = rule.evaluate(genome)
        value = problem.objective.value(float(costs[0])) if broken[0] == 0 else 0.0
        extra = f"  simulated {simulated(rule, genome[0]):.1f}" if sim and broken[0] == 0 else ""
        print(f"  {type(maker).__name__:12s} {value:10.3f}{extra}")
    # The first use of a kernel after an installation compiles it; that is no part of a search.
    run(problem, ReplicatedPortfolio(), rng=np.random.default_rng(0), start=starts, stop=time_limit(0.1))
    print(f"  {evaluations_per_s(problem):,.0f} evaluations/s on one core")
    for seed in range(seeds):
        outcome = run(
            problem,
            ReplicatedPortfolio(),
            rng=np.random.default_rng(seed),
            start=starts,
            stop=time_limit(seconds),
            bound=problem.lower_bound(),
        )
        extra = f"  simulated {simulated(problem, problem.encode(outcome.spans)):.1f}" if sim else ""
        value = problem.objective.value(outcome.score.cost)
        gap = f"{outcome.score.cost / outcome.bound - 1:.2%}" if outcome.bound > 0 else "unknown"
        last = outcome.trace[-2].seconds if len(outcome.trace) > 1 else 0.0
        print(f"  seed {seed:<7d} {value:10.3f}  gap {gap}  last improvement {last:.1f} s{extra}", flush=True)


def evaluations_per_s(problem: ReplicatedProblem, seconds: float = 1.0) -> float:
    """Whole evaluations of constructive and random placements, as many as fit into a time."""
    rows = np.concatenate([problem.starts(), problem.random(np.random.default_rng(0), 2000)])
    began, count = time.perf_counter(), 0
    while time.perf_counter() < began + seconds:
        problem.evaluate(rows)
        count += len(rows)
    return count / (time.perf_counter() - began)


def main() -> None:
    """Parse, read or invent, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=Path, help="folder of cases; without it clusters are invented")
    parser.add_argument("--invented", type=int, default=6, help="how many clusters to invent")
    parser.add_argument("--objective", default="flow")
    parser.add_argument("--edges", choices=("exact", "partial"), default="exact")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    partial = options.edges == "partial"
    for case in cases_of(options.instances, options.invented, partial=partial):
        measure(case, options.objective, options.seeds, options.seconds, options.objective != "flow")


if __name__ == "__main__":
    main()
