"""A scatter plot of predicted against measured figures as one SVG file, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.quality.charts import svg

TITLES = {"time_per_token_s": "time per token, s", "ttft_s": "time to first token, s", "tokens_per_s": "tokens/s"}
COLOURS = {"random": "#5b7aa6"}
OPTIMIZED = "#c2542d"


def scatter_svg(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Draw one panel for each figure, logarithmic on both axes; the diagonal is a perfect prediction.

    Parameters
    ----------
    rows : sequence of dict
        `predicted` and `measured` by figure, and a `label`: "random" placements have another colour than the others.
    names : sequence of str
        Figures, of `TITLES`.

    Returns
    -------
    str
        An SVG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * len(names), 4.0), layout="constrained")
    for panel, name in enumerate(names, start=1):
        predicted = [row["predicted"][name] for row in rows]
        measured = [row["measured"][name] for row in rows]
        low, high = min(*predicted, *measured) / 1.12, max(*predicted, *measured) * 1.12
        axes = figure.add_subplot(
            1, len(names), panel, xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal"
        )
        axes.set_xlabel(f"predicted {TITLES[name]}")
        axes.set_ylabel(f"measured {TITLES[name]}")
        axes.plot([low, high], [low, high], color="#bbbbbb", linewidth=1)
        colours = [COLOURS.get(row["label"], OPTIMIZED) for row in rows]
        axes.scatter(predicted, measured, s=14, c=colours, alpha=0.7)
    return svg(figure, "predicted against measured") + "\n"
