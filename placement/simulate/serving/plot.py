"""Pictures of runs: latency against rate, memory over time, a Gantt chart of the first passes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from placement.files import write_atomic

from .figures import ServingRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GANTT_PASSES = 200
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f")


def draw_runs(path: Path, runs: Sequence[tuple[float | None, ServingRun]]) -> None:
    """Draw runs; of several rates also their latencies.

    Parameters
    ----------
    path : Path
        Picture to write; its ending gives the format.
    runs : sequence of (float or None, ServingRun)
        Requests/s that were asked for, and the run.
    """
    from matplotlib.figure import Figure  # heavy

    several = len(runs) > 1
    figure = Figure(figsize=(8, 11 if several else 8), layout="constrained")
    axes = figure.subplots(3 if several else 2, 1)
    if several:
        draw_latency(axes[0], {runs[0][1].policy: runs})
    last = runs[-1][1]
    draw_memory(axes[-2], last)
    draw_gantt(axes[-1], last)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=120)
    write_atomic(path, buffer.getvalue())


def draw_latency(axes: Axes, curves: dict[str, Sequence[tuple[float | None, ServingRun]]]) -> None:
    """Normalized latency against rate, a curve by name."""
    for name, runs in curves.items():
        rates = [run.figures.requests_per_s if rate is None else rate for rate, run in runs]
        axes.plot(rates, [run.figures.normalized_latency_s.mean for _, run in runs], marker="o", label=name)
    axes.set_xlabel("requests/s")
    axes.set_ylabel("s per output token")
    axes.set_ylim(bottom=0)
    axes.legend()


def draw_memory(axes: Axes, run: ServingRun) -> None:
    """Tokens of cache over time, and requests that wait."""
    time = run.samples[:, 0]
    axes.plot(time, run.samples[:, 2], label="given away", color=COLOURS[1], linewidth=0.8)
    axes.plot(time, run.samples[:, 1], label="used", color=COLOURS[0], linewidth=0.8)
    axes.set_xlabel("s")
    axes.set_ylabel("tokens of cache")
    axes.legend(loc="upper left")
    beside = axes.twinx()
    beside.plot(time, run.samples[:, 5], color=COLOURS[3], linewidth=0.8)
    beside.set_ylabel("requests waiting", color=COLOURS[3])


def draw_gantt(axes: Axes, run: ServingRun) -> None:
    """The first passes on their nodes, a colour for each micro-batch."""
    rows = run.gantt[: GANTT_PASSES * max(1, len(set(run.gantt[:, 0].tolist())))]
    nodes = sorted(set(rows[:, 0].astype(int).tolist()))
    for place, node in enumerate(nodes):
        mine = rows[rows[:, 0] == node]
        spans = [(begin, end - begin) for begin, end in zip(mine[:, 2], mine[:, 3], strict=True)]
        colours = [COLOURS[int(group) % len(COLOURS)] for group in np.asarray(mine[:, 1])]
        axes.broken_barh(spans, (place - 0.4, 0.8), facecolors=colours)
    axes.set_yticks(range(len(nodes)), [run.nodes[node] for node in nodes])
    axes.set_xlabel("s")
