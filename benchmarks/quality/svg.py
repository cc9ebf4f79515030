"""Line charts as inline SVG: no scripts, no files beside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from .profiles import Curve
from .ranking import Ranking

COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#0a7ea4", "#6e7781", "#e16f24", "#2da44e",
           "#57606a", "#a475f9", "#c93c37", "#3192aa", "#ac5e00", "#24292f")  # fmt: skip
DASHES = ("", "6 3", "2 2", "8 3 2 3")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 340, 60, 190, 14, 46


def _ticks(low: float, high: float, log: bool) -> list[float]:
    if log:
        marks = [factor * 10.0**power for power in range(-6, 7) for factor in (1, 2, 5)]
        return [mark for mark in marks if low * 0.999 <= mark <= high * 1.001]
    return [round(float(mark), 10) for mark in np.linspace(low, high, 6)]


def chart(curves: Mapping[str, Curve], x: str, y: str, *, log: bool, stairs: bool, top: float | None = None) -> str:
    """A chart of curves; `stairs` for shares of a whole, whose ends are drawn out to the right."""
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return "<p>Nothing to draw.</p>"
    low, high = min(p[0] for p in points), max(p[0] for p in points)
    low = max(low, 1e-3) if log else low
    high = high if high > low else low * 1.1 + 0.1
    highest = top or max(1e-9, *(p[1] for p in points))

    def at(px: float, py: float) -> tuple[float, float]:
        share = np.log(max(px, low) / low) / np.log(high / low) if log else (px - low) / (high - low)
        return (
            LEFT + float(np.clip(share, 0, 1)) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - min(py / highest, 1.0) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [_axes(low, high, highest, log, at, x, y)]
    for number, (name, curve) in enumerate(curves.items()):
        style = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-dasharray="{DASHES[number // 4 % len(DASHES)]}"'
        if curve:
            drawn = [at(*point) for point in (_stairs(curve, high) if stairs else curve)]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in drawn)
            parts.append(f'<polyline points="{path}" fill="none" stroke-width="2" {style}/>')
        row, side = TOP + 8 + 17 * number, WIDTH - RIGHT
        parts.append(f'<line x1="{side + 12}" x2="{side + 38}" y1="{row}" y2="{row}" stroke-width="2" {style}/>')
        parts.append(f'<text x="{side + 44}" y="{row + 4}">{escape(name)}</text>')
    height = max(HEIGHT, TOP + 17 * len(curves) + 10)
    label = escape(f"{y} over {x}")
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _stairs(curve: Curve, high: float) -> list[tuple[float, float]]:
    drawn = [(curve[0][0], 0.0)]
    for px, py in curve:
        drawn += [(px, drawn[-1][1]), (px, py)]
    return [*drawn, (high, drawn[-1][1])]


def _axes(low: float, high: float, highest: float, log: bool, at: object, x: str, y: str) -> str:
    parts = []
    for mark in _ticks(low, high, log):
        px, py = at(mark, 0.0)  # type: ignore[operator]
        parts.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{TOP}" y2="{py:.1f}" class="grid"/>')
        parts.append(f'<text x="{px:.1f}" y="{py + 16:.1f}" text-anchor="middle">{mark:g}</text>')
    for mark in np.linspace(0, highest, 6):
        px, py = at(low, float(mark))  # type: ignore[operator]
        parts.append(f'<line x1="{px:.1f}" x2="{WIDTH - RIGHT}" y1="{py:.1f}" y2="{py:.1f}" class="grid"/>')
        parts.append(f'<text x="{px - 6:.1f}" y="{py + 4:.1f}" text-anchor="end">{mark:.3g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>')
    parts.append(
        f'<text transform="translate(14 {HEIGHT / 2 - 10}) rotate(-90)" text-anchor="middle">{escape(y)}</text>'
    )
    return "".join(parts)


def differences(ranking: Ranking) -> str:
    """Average ranks on one line; solvers within the critical difference of one are joined by a bar."""
    n, high = len(ranking.solvers), float(np.ceil(max(ranking.ranks)))
    high = max(high, 2.0)
    width = WIDTH - 2 * LEFT

    def at(rank: float) -> float:
        return LEFT + (rank - 1) / (high - 1) * width

    parts = [f'<line x1="{LEFT}" x2="{LEFT + width}" y1="40" y2="40" stroke="currentColor"/>']
    for mark in range(1, int(high) + 1):
        parts.append(f'<text x="{at(mark):.1f}" y="28" text-anchor="middle">{mark}</text>')
    bars = groups(ranking.ranks, ranking.critical_difference)
    for level, (first, last) in enumerate(bars):
        y = 48 + 6 * level
        ends = at(ranking.ranks[first]) - 3, at(ranking.ranks[last]) + 3
        parts.append(
            f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y}" y2="{y}" stroke="#d1242f" stroke-width="3"/>'
        )
    base = 62 + 6 * len(bars)
    for number, (name, rank) in enumerate(zip(ranking.solvers, ranking.ranks, strict=True)):
        y, px = base + 17 * number, at(rank)
        parts.append(f'<polyline points="{px:.1f},40 {px:.1f},{y}" fill="none" class="grid"/>')
        right = px < LEFT + width * 0.75
        parts.append(
            f'<text x="{px + (5 if right else -5):.1f}" y="{y}" text-anchor="{"start" if right else "end"}">'
            f"{escape(name)} {rank:.2f}</text>"
        )
    return f'<svg viewBox="0 0 {WIDTH} {base + 17 * n}" role="img" aria-label="average ranks">{"".join(parts)}</svg>'


def groups(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Largest runs of ascending ranks that lie within the difference, of two and more."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] <= difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
