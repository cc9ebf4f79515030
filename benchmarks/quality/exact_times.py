"""Seconds that `exact` takes to prove optima: ten distinct nodes and 24 nodes of three types, 80 blocks and two ends.

Run from the repository: ``python -m benchmarks.quality.exact_times``. Prints one row for each instance: the start's
cost, the optimum, the gap of the quick bound (`objectives.bounds.lower_bound`), and seconds.
"""

from __future__ import annotations

import time

import numpy as np

from objectives.combine import Objective
from objectives.pipeline.additive import FloatArray, IntArray
from objectives.pipeline.tables import CostTables
from placement.costs.build import batch_sizes
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.pipeline.solvers.exact import Exact
from placement.search.loop import run

LAYER_BYTES, END_BYTES, KV_BYTES = 1.7e9, 1.0e9, 2.5e6
ACTIVATION_BYTES, PROMPT_TOKENS = 16384.0, 512

OBJECTIVES: list[tuple[dict[str, float], dict[str, float]]] = [
    ({"latency": 1.0}, {}),
    ({"decode_rate": 1.0}, {}),
    ({"bottleneck": 1.0}, {}),
    ({"price": 1.0}, {"latency": 0.4}),
    ({"latency": 1.0, "price": 0.01}, {}),
    ({"decode_rate": 1.0, "price": 0.001}, {}),
    ({"decode_rate": 1.0}, {"ttft": 2.0}),
]


def instance(rng: np.random.Generator, like: IntArray, layers: int, concurrency: int) -> CostTables:
    """Random nodes (those with equal `like` are copies) with random links, between an embedding and a head."""
    kinds, n, m = int(like.max()) + 1, len(like), layers + 2
    weight = np.full(m, LAYER_BYTES)
    weight[[0, -1]] = END_BYTES
    kv = np.full(m, KV_BYTES)
    kv[[0, -1]] = 0.0
    memory = rng.uniform(0.3, 1.7, kinds)[like]
    memory *= weight.sum() * rng.uniform(1.3, 2.0) / memory.sum()
    bandwidth = rng.uniform(200, 2000, kinds)[like] * 1e9
    compute = rng.uniform(20, 300, kinds)[like] * 1e12
    batches = np.array(batch_sizes(concurrency), dtype=np.int64)
    # Roofline: weights are read once for a micro-batch, work grows with it.
    flops = weight * batches[:, None]
    decode = np.maximum(weight / bandwidth[:, None], flops[:, None, :] / compute[:, None] * 20) + 2e-5
    cut = np.full(m + 1, ACTIVATION_BYTES)
    cut[[0, -1]] = 4.0
    latency, speed = links(rng, kinds, like)
    return CostTables(
        batches=batches,
        decode_s=decode,
        prefill_s=weight * PROMPT_TOKENS / compute[:, None] + 2e-5,
        weight_bytes=weight,
        kv_bytes=kv,
        capacity_bytes=memory,
        cut_bytes=cut,
        prompt_cut_bytes=cut * PROMPT_TOKENS,
        latency_s=latency,
        bandwidth_bytes_per_s=speed,
        price_per_hour=rng.uniform(0.2, 3, kinds)[like],
        power_w=rng.uniform(100, 500, kinds)[like],
        cut_allowed=np.ones(m + 1, dtype=bool),
        allowed=np.ones((n, m), dtype=bool),
        ties=np.empty((0, 2), dtype=np.int64),
        required=np.zeros(n, dtype=bool),
        max_nodes=n,
        contiguous=True,
        output_tokens=128,
        concurrency=concurrency,
    )


def links(rng: np.random.Generator, kinds: int, like: IntArray) -> tuple[FloatArray, FloatArray]:
    """Latencies from 0.1 to 10 ms and bandwidths from 10 MB/s to 10 GB/s between kinds of nodes."""
    ends = np.append(like, kinds)
    pick = np.ix_(ends, ends)
    latency = 10 ** rng.uniform(-4, -2, (kinds + 1, kinds + 1))
    bandwidth = 10 ** rng.uniform(7, 10, (kinds + 1, kinds + 1))
    return latency[pick].copy(), bandwidth[pick].copy()


def measure(name: str, tables: CostTables, weights: dict[str, float], limits: dict[str, float]) -> None:
    """Solve one instance and print its row."""
    problem = PipelineProblem(tables, Objective(weights, limits))
    start = problem.starts()
    began = time.perf_counter()
    outcome = run(problem, Exact(), rng=np.random.default_rng(0), start=start, stop=lambda _: None)
    solved = time.perf_counter()
    bound = problem.lower_bound()
    bounded = time.perf_counter()
    score = problem.score(problem.decode(start[0]))
    first = f"{score.cost:.6g}" if score.violation == 0 else "infeasible"
    found = f"{outcome.score.cost:.6g}" if outcome.score.violation == 0 else "infeasible"
    gap = f"{(outcome.score.cost / bound - 1) * 100:.2f}%" if np.isfinite(bound) and bound > 0 else "-"
    print(
        f"{name:>12} {problem.objective.name:>28} {limits or ''!s:>18} C={tables.concurrency:<3}"
        f" start {first:>10}  optimum {found:>10}  {outcome.stopped_by.name:>9}  quick bound {gap:>7}"
        f" in {bounded - solved:5.2f} s  proof {solved - began:6.3f} s"
    )


def main() -> None:
    """Print the table."""
    layouts = [("10 distinct", np.arange(10)), ("24 of 3", np.repeat(np.arange(3), 8))]
    for name, like in layouts:
        for k, (weights, limits) in enumerate(OBJECTIVES):
            for concurrency in (1, 8, 32) if "decode_rate" in weights else (1,):
                tables = instance(np.random.default_rng(100 + k), like, 80, concurrency)
                measure(name, tables, weights, limits)


if __name__ == "__main__":
    main()
