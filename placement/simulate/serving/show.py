"""A run for people: lines for the terminal, series for JSON, a table of requests."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np

from placement.quantities import percent, seconds, size

from .figures import ServingRun, Spread
from .samples import COLUMNS

MOST_POINTS = 200


def lines_of(run: ServingRun, rate: float | None = None) -> list[str]:
    """The figures in lines of text.

    Parameters
    ----------
    run : ServingRun
    rate : float, optional
        Requests/s that were asked for.
    """
    f = run.figures
    asked = "" if rate is None else f" at {rate:g}/s"
    rest = "".join(
        f", {count} {word}" for count, word in ((f.refused, "refused"), (f.unfinished, "unfinished")) if count
    )
    state = " (interrupted: so far)" if run.interrupted else ""
    lines = [
        f"{run.policy}{asked}: {f.finished} of {f.requests} requests served in {f.seconds:.1f} s{rest}{state}",
        f"requests        {f.requests_per_s:.4g}/s, good {f.goodput_per_s:.4g}/s",
        f"tokens          {f.output_tokens_per_s:.4g}/s, with prompts {f.total_tokens_per_s:.4g}/s",
        f"first token     {_spread(f.ttft_s)}",
        f"time per token  {_spread(f.time_per_token_s)}",
        f"latency         {_spread(f.latency_s)}",
        f"per output tok. {_spread(f.normalized_latency_s)}",
        f"queueing        {_spread(f.queueing_s)}",
        f"in flight       {f.in_flight:.4g} running, {f.waiting:.4g} waiting",
        f"caches          {percent(f.cache_used)} used, {percent(f.cache_reserved)} given away; useful "
        f"{percent(f.useful_share)}; internal {percent(f.cache_internal)}, external {percent(f.cache_external)}",
    ]
    if f.preemptions:
        lines.append(f"preemptions     {f.preemptions}")
    for name, value in f.events.items():
        if name != "preemptions":
            shown = size(value) if name.endswith("_bytes") else f"{value:g}"
            lines.append(f"{name.replace('_', ' ').removesuffix(' bytes'):<15} {shown}")
    busy = sorted(f.busy.items(), key=lambda item: -item[1])
    lines.append("busy            " + ", ".join(f"{name} {percent(share)}" for name, share in busy[:8] if share > 0))
    return [*lines, *(f"note: {note}" for note in run.notes)]


def _spread(spread: Spread) -> str:
    if math.isnan(spread.mean):
        return "none"
    return f"{seconds(spread.mean)} (p50 {seconds(spread.p50)}, p90 {seconds(spread.p90)}, p99 {seconds(spread.p99)})"


def series_of(run: ServingRun) -> dict[str, Any]:
    """Memory, queues and busy shares over time, at most `MOST_POINTS` points each."""
    step = max(1, -(-len(run.samples) // MOST_POINTS))
    table = run.samples[::step]
    busy = run.busy / run.bin_s if run.bin_s > 0 else run.busy
    return {
        **{name: np.round(table[:, k], 6).tolist() for k, name in enumerate(COLUMNS)},
        "busy_bin_s": run.bin_s,
        "busy": {name: np.round(row, 4).tolist() for name, row in zip(run.nodes, busy, strict=True)},
    }


def csv_text(run: ServingRun) -> str:
    """One row per request; times in s, empty where there is none."""
    columns = run.requests()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        writer.writerow(["" if isinstance(v, float) and not math.isfinite(v) else _cell(v) for v in row])
    return text.getvalue()


def _cell(value: float) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)
