"""Predicted against measured: random and optimized placements over emulated unequal hosts.

::

    python -m benchmarks.fidelity.run --model smollm --placements 30 --out benchmarks/fidelity/results

All placements of all set-ups are in one ranking. Every placement is measured `--repeats` times, with all the others in
between; figures are compared with the mean, and the rankings of single measurements with each other: that correlation
is what a perfect prediction could not be expected to pass by much. An emulated host mostly sleeps, so that on a machine
with many cores several placements may run at once (`--lanes`).

Writes ``runs.jsonl``, ``summary.json`` and, with matplotlib, ``scatter.svg``, and prints the summary.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fidelity.errors import error_summary, kendall_tau, quantiles
from benchmarks.fidelity.hosts import Hosts, base_profile, emulated, make_hosts, model_folder, random_spans
from benchmarks.fidelity.scatter import scatter_svg
from benchmarks.quality.charts import can_draw
from objectives.spans import Span
from placement.optimize import optimize
from placement.profile.calibrate import calibrate, read_runs
from placement.question.workload import Workload
from placement.run import run_plan

FIGURES = ("time_per_token_s", "ttft_s", "tokens_per_s")


def main() -> int:
    """Draw hosts and placements, run all of them, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--placements", type=int, default=30)
    parser.add_argument("--set-ups", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=16)
    parser.add_argument("--in-flight", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2, help="measurements of each placement")
    parser.add_argument("--alone", type=int, default=3, help="sequences one after the other in a measurement")
    parser.add_argument("--lanes", type=int, default=0, help="placements that run at once; 0: one for every 5 cores")
    parser.add_argument("--slow", nargs=2, type=float, default=(2.0, 16.0), help="least and most slowness of a host")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/fidelity/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng, began = np.random.default_rng(options.seed), time.perf_counter()
    folder, name = model_folder(options.model, options.out), Path(options.model).name
    work = Workload(options.prompt, options.tokens, 1)
    base, model, hop_s = base_profile(folder, work)
    rows: list[dict[str, Any]] = []
    for number in range(options.set_ups):
        n, slow = 3 + number % 3, (options.slow[0], options.slow[1])
        hosts = make_hosts(folder, base, model, rng, n, work, slow=slow, room=(0.5, 1.1), hop_s=hop_s)
        for label, spans in placements(hosts, rng, options.placements // options.set_ups):
            rows.append(row_of(number, hosts, label, spans, options.in_flight))
    logs = measure_all(rows, options)
    (options.out / f"runs-{name}.jsonl").write_text("".join(f"{line}\n" for row in logs for line in row))
    report = {
        "model": options.model,
        "placements": len(rows),
        "seconds": time.perf_counter() - began,
        "conditions": {
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "hop_s": hop_s,
            "lanes": lanes(options),
            "pass_overhead_s": base.pass_overhead_s,
            "decode_layer_s": base.decode_table[1][1],
            "decode_head_s": base.decode_table[1][-1],
            "prefill_layer_s": base.prefill_s_per_block[1],
        },
        "summary": {figure: summarize(rows, figure) for figure in FIGURES} | calibrated(rows, options.out, name),
    }
    rows = [{key: value for key, value in row.items() if key != "hosts"} for row in rows]
    text = json.dumps({**report, "rows": rows}, indent=1)
    (options.out / f"summary-{name}.json").write_text(text + "\n", encoding="utf-8")
    if can_draw():
        (options.out / f"scatter-{name}.svg").write_text(scatter_svg(rows, FIGURES), encoding="utf-8")
    print(json.dumps(report, indent=1))
    return 0


def lanes(options: argparse.Namespace) -> int:
    """How many placements run at once."""
    return options.lanes or max(1, (os.cpu_count() or 1) // 5)


def placements(hosts: Hosts, rng: np.random.Generator, n: int) -> list[tuple[str, list[Span]]]:
    """One placement for each of two objectives, the others random ones that fit; all different."""
    names = hosts.request.cluster.names
    found: dict[tuple[Span, ...], str] = {}
    for objective in ("latency", "decode_rate"):
        plan = optimize(None, hosts.request, objective=objective, time_limit=2.0).plan
        found[tuple(Span(names.index(s.node), s.start, s.stop) for s in plan.placement)] = objective
    for _ in range(10_000):
        spans = tuple(random_spans(rng, len(names), hosts.request.model.n_blocks))
        if len(found) < n and hosts.fits(spans):
            found.setdefault(spans, "random")
    return [(label, list(spans)) for spans, label in found.items()]


def row_of(number: int, hosts: Hosts, label: str, spans: Sequence[Span], in_flight: int) -> dict[str, Any]:
    """Predict a placement."""
    figures = hosts.plan(spans).figures
    return {
        "set_up": number,
        "label": label,
        "hosts": hosts,
        "spans": [[span.node, span.start, span.stop] for span in spans],
        "predicted": {
            "time_per_token_s": figures.time_per_token_s,
            "ttft_s": figures.ttft_s,
            "tokens_per_s": hosts.tokens_per_s(spans, in_flight),
        },
        "measurements": [],
    }


def measure_all(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> list[list[str]]:
    """Measure all placements in random order, and all again; return what the runs wrote, by placement."""
    logs: list[list[str]] = [[] for _ in rows]
    rng = np.random.default_rng(options.seed + 1)
    for _ in range(options.repeats):
        order = [int(k) for k in rng.permutation(len(rows))]
        with ThreadPoolExecutor(lanes(options)) as pool:
            jobs = [(k, pool.submit(measure, rows[k], options, int(rng.integers(2**31)))) for k in order]
            for k, job in jobs:
                measured, record = job.result()
                rows[k]["measurements"].append(measured)
                logs[k].append(record)
                print(json.dumps({"spans": rows[k]["spans"], **measured}), file=sys.stderr)
    for row in rows:
        row["measured"] = {figure: float(np.mean([m[figure] for m in row["measurements"]])) for figure in FIGURES}
    return logs


def measure(row: dict[str, Any], options: argparse.Namespace, seed: int) -> tuple[dict[str, float], str]:
    """Run a placement twice: sequences one after the other, and several in flight."""
    hosts: Hosts = row["hosts"]
    plan = hosts.plan([Span(*span) for span in row["spans"]])
    rng = np.random.default_rng(seed)
    prompts = rng.integers(0, 1000, (max(options.in_flight, options.alone), options.prompt)).tolist()
    common: dict[str, Any] = {"cluster": emulated(hosts), "slow": dict(hosts.slow), "emulate_links": True}
    alone = run_plan(plan, hosts.folder, prompts[: options.alone], options.tokens, in_flight=1, **common)
    many = run_plan(plan, hosts.folder, prompts[: options.in_flight], options.tokens, **common)
    found = {
        "time_per_token_s": alone.measured.time_per_token_s,
        "ttft_s": alone.measured.ttft_s,
        "tokens_per_s": many.measured.tokens_per_s,
    }
    return found, json.dumps(alone.record())


def calibrated(rows: Sequence[dict[str, Any]], out: Path, name: str) -> dict[str, dict[str, float]]:
    """Predict every run by a fit to the others of its set-up: hosts of different set-ups share names, not speeds."""
    errors: list[float] = []
    records, at = read_runs(out / f"runs-{name}.jsonl"), 0
    for number in sorted({row["set_up"] for row in rows}):
        own = [row for row in rows if row["set_up"] == number]
        n = sum(len(row["measurements"]) for row in own)
        # The first run of each placement: another one of the same placement would give the answer away.
        firsts = records[at : at + n : len(own[0]["measurements"])]
        errors += calibrate(own[0]["hosts"].request, firsts).after
        at += n
    return {"time_per_token_s, calibrated by the other runs": quantiles(errors)}


def summarize(rows: Sequence[dict[str, Any]], name: str) -> dict[str, float | None]:
    """Quantiles of the relative error, Kendall's tau of the ranking, and the same between two measurements."""
    predicted = np.array([row["predicted"][name] for row in rows])
    measured = np.array([row["measured"][name] for row in rows])
    single = np.array([[m[name] for m in row["measurements"]] for row in rows]).T
    again = [kendall_tau(a, b) for k, a in enumerate(single) for b in single[k + 1 :]]
    apart = [np.abs(a / b - 1.0) for k, a in enumerate(single) for b in single[k + 1 :]]
    return {
        **error_summary(predicted, measured),
        "median_bias": float(np.median(predicted / measured - 1.0)),
        "tau_of_two_measurements": float(np.mean(again)) if again else None,
        "median_difference_of_two_measurements": float(np.median(apart)) if apart else None,
    }


if __name__ == "__main__":
    raise SystemExit(main())
