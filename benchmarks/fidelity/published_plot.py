"""Predicted against measured rates, logarithmic, by device class: one SVG for generation and one for prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from placement.profile.rates_errors import Residual

MARKERS = "osD^vPX*<>hp8d"
TITLES = {"generation": "generation, tokens/s", "prompt": "prompts, tokens/s"}


def plot(rows: Sequence[Residual], folder: Path) -> None:
    """Write generation.svg and prompt.svg into `folder`; the band is a factor of 1.35 either way."""
    from matplotlib import pyplot, rcParams

    rcParams["svg.hashsalt"] = "published"  # the same picture, the same file
    rcParams["svg.fonttype"] = "none"  # letters as text, not as outlines: a third of the size
    folder.mkdir(parents=True, exist_ok=True)
    for name, title in TITLES.items():
        chosen = [row for row in rows if row.figure == name]
        figure, axes = pyplot.subplots(figsize=(6.4, 5.2))
        kinds = sorted({row.case.device_class for row in chosen})
        for number, kind in enumerate(kinds):
            mine = [row for row in chosen if row.case.device_class == kind]
            axes.plot(
                [row.measured for row in mine],
                [row.predicted for row in mine],
                MARKERS[number % len(MARKERS)],
                color=f"C{number % 10}",
                markersize=5,
                alpha=0.8,
                label=f"{kind} ({len(mine)})",
            )
        ends = [min(row.measured for row in chosen) / 1.5, max(row.measured for row in chosen) * 1.5]
        axes.plot(ends, ends, color="grey", linewidth=1)
        axes.fill_between(ends, [end / 1.35 for end in ends], [end * 1.35 for end in ends], color="grey", alpha=0.15)
        axes.set(
            xscale="log", yscale="log", xlabel=f"measured {title}", ylabel=f"predicted {title}", xlim=ends, ylim=ends
        )
        axes.legend(fontsize=7, ncols=2)
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)
