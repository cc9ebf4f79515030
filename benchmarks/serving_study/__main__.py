"""The study: how many requests/s each policy serves within a latency, beside what the papers report.

    python -m benchmarks.serving_study                       # all workloads: minutes
    python -m benchmarks.serving_study --only OPT-13B        # those whose names have the word
    python -m benchmarks.serving_study --chains              # placements of several planners under every policy
    python -m benchmarks.serving_study --plot docs/serving   # curves and memory, two SVG files

A policy serves a rate when 2,000 requests that come at it, Poisson, take no more seconds per output token than the
workload's limit (600 requests where planners are compared). The highest such rate is found by halving, to 6%.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from placement.files import write_atomic
from placement.simulate.serving import ServingRun, serve

from .workloads import CHAINS, WORKLOADS, Workload

EXACT, LEAST_RATE = 1.06, 1e-4
POLICIES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "FasterTransformer": ("request", {}),
    "Orca (max)": ("orca", {"reserve": "max"}),
    "Orca (pow2)": ("orca", {"reserve": "pow2"}),
    "Orca (oracle)": ("orca", {"reserve": "oracle"}),
    "vLLM": ("vllm", {"watermark": 0.01, "prefix_caching": False}),
    "Infinite-LLM": ("infinite", {"prefix_caching": False}),
}
TABLES = (
    ("useful", ".0%", "useful share"),
    ("in_flight", ".3g", "in flight, overloaded"),
    ("saturated", ".3g", "requests/s, overloaded"),
)
LONG_POLICIES = ("vLLM", "Infinite-LLM")
PLANNED = ("FasterTransformer", "Orca (max)", "Orca (pow2)", "vLLM", "Infinite-LLM")


def policies_of(workload: Workload) -> list[str]:
    """Names of the policies that apply: borrowing caches needs several instances."""
    if workload.copies > 1:
        return list(LONG_POLICIES)
    several = workload.serving.instances > 1
    return [name for name in (PLANNED if workload in CHAINS else POLICIES) if several or name != "Infinite-LLM"]


def run_at(workload: Workload, policy: str, rate: float) -> ServingRun:
    """One run; requests come at `rate` per second."""
    name, settings = POLICIES[policy]
    requests = workload.requests(rate, workload.number)
    return serve(workload.serving, requests, policy=name, settings=settings, options=workload.options)


def latency_s(workload: Workload, run: ServingRun) -> float:
    """Seconds per output token that the workload's limit is on."""
    spread = run.figures.normalized_latency_s
    return spread.p50 if workload.median else spread.mean


def highest_rate(workload: Workload, policy: str) -> float:
    """Requests/s that are served within the limit; 0 where not even one in 10,000 s is."""

    def serves(rate: float) -> bool:
        return latency_s(workload, run_at(workload, policy, rate)) <= workload.limit_s

    saturated = run_at(workload, policy, 1e4).figures.requests_per_s
    low, high = saturated / 8.0, 2.0 * saturated
    while not serves(low):
        low, high = low / 8.0, low
        if low < LEAST_RATE:
            return 0.0
    while high / low > EXACT:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if serves(middle) else (low, middle)
    return low


def row_of(workload: Workload, wanted: str = "") -> dict[str, Any]:
    """Highest rates of the policies that apply, and their useful share of memory when there is too much to do."""
    policies = [name for name in policies_of(workload) if wanted in name]
    rates = {name: highest_rate(workload, name) for name in policies}
    most = max(rates.values())
    crowded = {name: run_at(workload, name, 1.5 * most).figures for name in policies}
    return {
        "workload": workload.name,
        "paper": workload.paper,
        "rates": rates,
        "useful": {name: figures.useful_share for name, figures in crowded.items()},
        "in_flight": {name: figures.in_flight for name, figures in crowded.items()},
        "saturated": {name: figures.requests_per_s for name, figures in crowded.items()},
        "refused": {name: figures.refused for name, figures in crowded.items()},
        "instances": workload.serving.instances,
    }


def line_of(row: Mapping[str, Any], key: str, form: str) -> str:
    """A row of a table in markdown."""
    cells = [format(row[key][name], form) if name in row[key] else "" for name in POLICIES]
    return f"| {row['workload']} | " + " | ".join(cells) + " |"


def plots(folder: Path) -> None:
    """Latency against rate of one workload, and its memory over time under two policies."""
    from matplotlib.figure import Figure  # heavy

    from benchmarks.quality.charts import svg
    from placement.simulate.serving.plot import draw_latency, draw_memory

    workload = WORKLOADS[0]
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    curves: dict[str, Sequence[tuple[float | None, ServingRun]]] = {}
    for policy in POLICIES:
        if policy == "Infinite-LLM":
            continue
        runs: list[tuple[float | None, ServingRun]] = []
        for rate in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0):
            run = run_at(workload, policy, rate)
            runs.append((rate, run))
            if run.figures.normalized_latency_s.mean > 2.0 * workload.limit_s:
                break
        curves[policy] = runs
    axes = figure.add_subplot()
    draw_latency(axes, curves)
    axes.set_ylim(0.0, 1.0)
    axes.set_title(workload.name)
    write_atomic(folder / "latency.svg", svg(figure, "Latency against rate by policy"))
    memory = Figure(figsize=(7.0, 6.0), layout="constrained")
    for axes, policy in zip(memory.subplots(2, 1, sharey=True), ("Orca (max)", "vLLM"), strict=True):
        draw_memory(axes, run_at(workload, policy, 1.5))
        axes.set_title(f"{workload.name}, {policy}, 1.5 requests/s")
    write_atomic(folder / "memory.svg", svg(memory, "Memory over time under two policies"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print tables, or draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--policy", default="", metavar="WORD")
    parser.add_argument("--chains", action="store_true", help="placements of several planners")
    parser.add_argument("--plot", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, metavar="RESULTS.JSON")
    given = parser.parse_args(arguments)
    if given.plot is not None:
        plots(given.plot)
        return
    rows = []
    print("| requests/s | " + " | ".join(POLICIES) + " |")
    for workload in CHAINS if given.chains else WORKLOADS:
        if given.only in workload.name:
            rows.append(row_of(workload, given.policy))
            print(line_of(rows[-1], "rates", ".3g"), flush=True)
    for key, form, title in TABLES:
        print(f"| {title} | " + " | ".join(POLICIES) + " |")
        for row in rows:
            print(line_of(row, key, form))
    if given.out is not None:
        write_atomic(given.out, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
