"""Optimized placements against the splits that people use today, measured on the same emulated hosts.

Uniform (equal numbers of blocks), by memory (blocks in proportion to memory, as exo does) and balanced (accelerate's:
fill device after device up to an equal share of bytes). Prints the tokens/s of each and the gain over the best::

    python -m benchmarks.fidelity.versus --set-ups 10
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fidelity.hosts import Hosts, base_profile, emulated, make_hosts, model_folder
from objectives.spans import Span
from placement.kinds.pipeline.problem import problem_of
from placement.optimize import optimize
from placement.question.workload import Workload
from placement.registry import make_solver
from placement.run import run_plan

YARDSTICKS = ("uniform", "by_memory", "balanced")


def main() -> int:
    """Draw set-ups, place, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--set-ups", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/fidelity/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    folder = model_folder(options.model, options.out)
    work = Workload(options.prompt, options.tokens, options.in_flight)
    base, model, hop_s = base_profile(folder, work)
    rows: list[dict[str, Any]] = []
    for number in range(options.set_ups):
        hosts = make_hosts(
            folder, base, model, rng, 3 + number % 3, work, slow=(3.0, 15.0), room=(0.5, 1.2), hop_s=hop_s
        )
        rates: dict[str, float] = {}
        for name, spans in splits(hosts).items():
            rates[name] = measured(hosts, spans, options)
        best = max((rates[name] for name in YARDSTICKS if name in rates), default=0.0)
        rows.append({"set_up": number, "tokens_per_s": rates, "gain": rates["optimized"] / best if best else None})
        print(json.dumps(rows[-1]), file=sys.stderr)
    gains = [row["gain"] for row in rows if row["gain"]]
    report = {"model": options.model, "mean_gain": float(np.mean(gains)), "worst_gain": min(gains), "set_ups": rows}
    name = Path(options.model).name
    (options.out / f"versus-{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0


def splits(hosts: Hosts) -> dict[str, list[Span]]:
    """Return the yardsticks' own splits where they fit into memory, and the optimized one."""
    problem, names = problem_of(hosts.request), hosts.request.cluster.names
    found = {}
    for name in YARDSTICKS:
        proposal = next(make_solver(name).search(problem, np.random.default_rng(0), problem.starts()))
        spans = list(problem.decode(proposal.genomes[0]))
        if hosts.fits(spans):
            found[name] = spans
    plan = optimize(None, hosts.request, objective="decode_rate", time_limit=3.0).plan
    found["optimized"] = [Span(names.index(s.node), s.start, s.stop) for s in plan.placement]
    return found


def measured(hosts: Hosts, spans: list[Span], options: argparse.Namespace) -> float:
    """Measure tokens/s with all sequences in flight."""
    plan = hosts.plan(spans)
    prompts = np.random.default_rng(7).integers(0, 1000, (options.in_flight, options.prompt)).tolist()
    result = run_plan(
        plan, hosts.folder, prompts, options.tokens, cluster=emulated(hosts), slow=dict(hosts.slow), emulate_links=True
    )
    return result.measured.tokens_per_s


if __name__ == "__main__":
    raise SystemExit(main())
