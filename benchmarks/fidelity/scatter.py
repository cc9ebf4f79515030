"""A scatter plot of predicted against measured figures as one SVG, without a library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

SIZE, EDGE = 300, 46
TITLES = {"time_per_token_s": "time per token, s", "ttft_s": "time to first token, s", "tokens_per_s": "tokens/s"}
COLOURS = {"random": "#5b7aa6"}
OPTIMIZED = "#c2542d"


def scatter_svg(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Draw one panel for each figure, logarithmic on both axes; the diagonal is a perfect prediction."""
    panels = "".join(_panel(rows, name, k * (SIZE + 20)) for k, name in enumerate(names))
    width = len(names) * (SIZE + 20)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{SIZE + 20}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>{panels}</svg>\n'
    )


def _panel(rows: Sequence[dict[str, Any]], name: str, left: float) -> str:
    points = [(row["predicted"][name], row["measured"][name], row["label"]) for row in rows]
    values = [value for x, y, _ in points for value in (x, y)]
    low, high = math.log10(min(values)) - 0.05, math.log10(max(values)) + 0.05

    def at(value: float) -> float:
        return (math.log10(value) - low) / (high - low) * (SIZE - 2 * EDGE) + EDGE

    parts = [f'<g transform="translate({left},0)">']
    box = SIZE - 2 * EDGE
    parts.append(f'<rect x="{EDGE}" y="{EDGE}" width="{box}" height="{box}" fill="none" stroke="#999"/>')
    parts.append(f'<path d="M{EDGE},{SIZE - EDGE}L{SIZE - EDGE},{EDGE}" stroke="#bbb"/>')
    for value in _ticks(low, high):
        x = at(value)
        parts.append(f'<text x="{x:.1f}" y="{SIZE - EDGE + 14}" text-anchor="middle">{value:g}</text>')
        parts.append(f'<text x="{EDGE - 4}" y="{SIZE - x + 4:.1f}" text-anchor="end">{value:g}</text>')
    for x, y, label in points:
        colour = COLOURS.get(label, OPTIMIZED)
        parts.append(f'<circle cx="{at(x):.1f}" cy="{SIZE - at(y):.1f}" r="3.5" fill="{colour}" fill-opacity="0.7"/>')
    parts.append(f'<text x="{SIZE / 2}" y="{SIZE - 12}" text-anchor="middle">predicted {TITLES[name]}</text>')
    parts.append(
        f'<text x="14" y="{SIZE / 2}" text-anchor="middle" transform="rotate(-90 14 {SIZE / 2})">measured</text>'
    )
    return "".join([*parts, "</g>"])


def _ticks(low: float, high: float) -> list[float]:
    steps = [m * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)]
    return [value for value in steps if low <= math.log10(value) <= high]
