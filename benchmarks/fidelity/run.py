"""Predicted against measured: random and optimized placements over emulated unequal hosts.

::

    python -m benchmarks.fidelity.run --model smollm --placements 30 --out benchmarks/fidelity/results

Writes ``runs.jsonl``, ``summary.json`` and ``scatter.svg`` and prints the summary.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fidelity.hosts import Hosts, base_profile, emulated, make_hosts, model_folder, random_spans
from benchmarks.fidelity.scatter import scatter_svg
from objectives.terms import Span
from placement.executors import run_plan
from placement.optimize import optimize
from placement.profile.calibrate import calibrate, read_runs
from placement.workload import Workload

FIGURES = ("time_per_token_s", "ttft_s", "tokens_per_s")


def main() -> int:
    """Draw hosts and placements, run all of them, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--placements", type=int, default=30)
    parser.add_argument("--set-ups", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--prompt", type=int, default=16)
    parser.add_argument("--in-flight", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/fidelity/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    folder = model_folder(options.model, options.out)
    work = Workload(options.prompt, options.tokens, 1)
    base, model = base_profile(folder, work)
    rows: list[dict[str, Any]] = []
    name = Path(options.model).name
    runs = options.out / f"runs-{name}.jsonl"
    runs.unlink(missing_ok=True)
    calibrated: list[float] = []
    for number in range(options.set_ups):
        hosts = make_hosts(folder, base, model, rng, 3 + number % 3, work, room=(0.5, 1.1))
        for label, spans in placements(hosts, rng, options.placements // options.set_ups):
            row = compare(hosts, label, spans, options.in_flight, work, rng, runs)
            rows.append({"set_up": number, **row})
            print(json.dumps(rows[-1]), file=sys.stderr)
        # Hosts of different set-ups share names, not speeds: each set-up is calibrated by its own runs.
        own = read_runs(runs)[-sum(row["set_up"] == number for row in rows) :]
        calibrated += calibrate(hosts.request, own).after
    summary: dict[str, dict[str, float]] = {figure: summarize(rows, figure) for figure in FIGURES}
    summary["time_per_token_s, calibrated by the other runs"] = {
        "median_error": float(np.median(calibrated)),
        "p90_error": float(np.quantile(calibrated, 0.9)),
        "worst_error": max(calibrated),
    }
    report = {"model": options.model, "placements": len(rows), "summary": summary, "rows": rows}
    (options.out / f"summary-{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (options.out / f"scatter-{name}.svg").write_text(scatter_svg(rows, FIGURES), encoding="utf-8")
    print(json.dumps({"placements": len(rows), **summary}, indent=1))
    return 0


def placements(hosts: Hosts, rng: np.random.Generator, n: int) -> list[tuple[str, list[Span]]]:
    """One placement for each of two objectives, the others random ones that fit; all different."""
    names = hosts.request.cluster.names
    found: dict[tuple[Span, ...], str] = {}
    for objective in ("latency", "throughput"):
        plan = optimize(None, hosts.request, objective=objective, time_limit=2.0).plan
        found[tuple(Span(names.index(s.node), s.start, s.stop) for s in plan.placement)] = objective
    for _ in range(10_000):
        spans = tuple(random_spans(rng, len(names), hosts.request.model.n_blocks))
        if len(found) < n and hosts.fits(spans):
            found.setdefault(spans, "random")
    return [(label, list(spans)) for spans, label in found.items()]


def compare(
    hosts: Hosts, label: str, spans: Sequence[Span], in_flight: int, work: Workload, rng: np.random.Generator, log: Path
) -> dict[str, Any]:
    """Run a placement twice: one sequence alone, and several in flight."""
    plan, cluster = hosts.plan(spans), emulated(hosts)
    prompts = rng.integers(0, 1000, (in_flight, work.prompt_tokens)).tolist()
    common: dict[str, Any] = {"cluster": cluster, "slow": dict(hosts.slow), "emulate_links": True}
    alone = run_plan(plan, hosts.folder, prompts[:1], work.output_tokens, **common)
    alone.append_to(log)
    many = run_plan(plan, hosts.folder, prompts, work.output_tokens, **common)
    return {
        "label": label,
        "spans": [[span.node, span.start, span.stop] for span in spans],
        "predicted": {
            "time_per_token_s": plan.figures.time_per_token_s,
            "ttft_s": plan.figures.ttft_s,
            "tokens_per_s": hosts.tokens_per_s(spans, in_flight),
        },
        "measured": {
            "time_per_token_s": alone.measured.time_per_token_s,
            "ttft_s": alone.measured.ttft_s,
            "tokens_per_s": many.measured.tokens_per_s,
        },
    }


def summarize(rows: Sequence[dict[str, Any]], name: str) -> dict[str, float]:
    """Quantiles of the relative error, and Kendall's tau of the ranking."""
    predicted = np.array([row["predicted"][name] for row in rows])
    measured = np.array([row["measured"][name] for row in rows])
    errors = np.abs(predicted / measured - 1.0)
    return {
        "median_error": float(np.median(errors)),
        "p90_error": float(np.quantile(errors, 0.9)),
        "worst_error": float(errors.max()),
        "kendall_tau": kendall_tau(predicted, measured),
    }


def kendall_tau(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b: pairs that are tied in one ranking are left out of its count."""
    upper = np.triu_indices(len(a), 1)
    x, y = (np.sign(np.subtract.outer(values, values))[upper] for values in (a, b))
    return float((x * y).sum() / max(np.sqrt((x**2).sum() * (y**2).sum()), 1.0))


if __name__ == "__main__":
    raise SystemExit(main())
