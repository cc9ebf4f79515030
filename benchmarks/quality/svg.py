"""Line charts as inline SVG: no scripts, no files beside the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from .profiles import Curve
from .ranking import Ranking

COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#e16f24", "#8250df", "#0a7ea4", "#bf3989", "#57606a")
DASHES = ("", "7 3", "2 2", "8 3 2 3")  # the next one when the colours are used up
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 340, 60, 190, 14, 46
SIDE = 195  # for names beside the line of ranks


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values on the page.

    Attributes
    ----------
    name : str
    low, high : float
    log : bool
        Values below `low` are drawn at `low` either way.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round numbers: 1, 2, 5 times powers of ten; whole powers where there are many."""
        if self.log:
            factors = (1, 2, 5) if self.high / self.low < 2e3 else (1,)
            marks = [factor * 10.0**power for power in range(-9, 9) for factor in factors]
        else:
            step = 10.0 ** np.floor(np.log10((self.high - self.low) / 2))
            step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 8)
            marks = [step * k for k in range(int(np.floor(self.low / step)), int(np.ceil(self.high / step)) + 1)]
        slack = 1e-9 * (self.high - self.low)
        return [float(mark) for mark in marks if self.low - slack <= mark <= self.high + slack]


def chart(curves: Mapping[str, Curve], x: Axis, y: Axis, *, stairs: bool, names: Sequence[str] = ()) -> str:
    """A chart of curves; `stairs` for shares of a whole, whose ends are drawn out to the right.

    `names` of all charts of a page give a curve the same colour on each.
    """
    names = names or tuple(curves)
    if not any(curves.values()):
        return "<p>Nothing to draw.</p>"
    parts = [_axes(x, y)]
    for line, (name, curve) in enumerate(curves.items()):
        number = names.index(name)
        dash = DASHES[number // len(COLOURS) % len(DASHES)]
        style = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-dasharray="{dash}"'
        if curve:
            drawn = [_at(x, y, *point) for point in (_stairs(curve, x.high) if stairs else curve)]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in drawn)
            parts.append(f'<polyline points="{path}" fill="none" stroke-width="2" {style}/>')
        row, side = TOP + 8 + 17 * line, WIDTH - RIGHT
        parts.append(f'<line x1="{side + 12}" x2="{side + 38}" y1="{row}" y2="{row}" stroke-width="2" {style}/>')
        parts.append(f'<text x="{side + 44}" y="{row + 4}">{escape(name)}</text>')
    height = max(HEIGHT, TOP + 17 * len(curves) + 10)
    label = escape(f"{y.name} over {x.name}")
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _at(x: Axis, y: Axis, px: float, py: float) -> tuple[float, float]:
    return LEFT + x.share(px) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y.share(py) * (HEIGHT - TOP - BOTTOM)


def _stairs(curve: Curve, high: float) -> list[tuple[float, float]]:
    drawn = [(curve[0][0], 0.0)]
    for px, py in curve:
        drawn += [(px, drawn[-1][1]), (px, py)]
    return [*drawn, (high, drawn[-1][1])]


def _axes(x: Axis, y: Axis) -> str:
    parts = []
    bottom = HEIGHT - BOTTOM
    for mark in x.ticks():
        px, _ = _at(x, y, mark, y.low)
        parts.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{TOP}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{px:.1f}" y="{bottom + 16}" text-anchor="middle">{mark:g}</text>')
    for mark in y.ticks():
        _, py = _at(x, y, x.low, mark)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py:.1f}" y2="{py:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{mark:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.name)}</text>')
    turned = f"translate(14 {HEIGHT / 2 - 10}) rotate(-90)"
    parts.append(f'<text transform="{turned}" text-anchor="middle">{escape(y.name)}</text>')
    return "".join(parts)


def differences(ranking: Ranking) -> str:
    """Average ranks on one line, names at both sides; solvers within the critical difference are joined by a bar."""
    n, high = len(ranking.solvers), max(2.0, float(np.ceil(max(ranking.ranks))))
    width = WIDTH - 2 * SIDE

    def at(rank: float) -> float:
        return SIDE + (rank - 1) / (high - 1) * width

    parts = [f'<line x1="{SIDE}" x2="{SIDE + width}" y1="40" y2="40" stroke="currentColor"/>']
    for mark in range(1, int(high) + 1):
        parts.append(f'<text x="{at(mark):.1f}" y="28" text-anchor="middle">{mark}</text>')
    bars = groups(ranking.ranks, ranking.critical_difference)
    for level, (first, last) in enumerate(bars):
        y = 48 + 6 * level
        ends = at(ranking.ranks[first]) - 3, at(ranking.ranks[last]) + 3
        parts.append(
            f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y}" y2="{y}" stroke="#d1242f" stroke-width="3"/>'
        )
    base, half = 66 + 6 * len(bars), (n + 1) // 2
    for number, (name, rank) in enumerate(zip(ranking.solvers, ranking.ranks, strict=True)):
        # The better half to the left from the top down, the other half to the right: no line crosses a name.
        left = number < half
        y, px, end = base + 17 * (number if left else n - 1 - number), at(rank), SIDE - 6 if left else SIDE + width + 6
        parts.append(f'<polyline points="{px:.1f},40 {px:.1f},{y} {end},{y}" fill="none" stroke="#8c959f"/>')
        text, side = (f"{escape(name)} {rank:.2f}", "end") if left else (f"{rank:.2f} {escape(name)}", "start")
        parts.append(f'<text x="{end + (-4 if left else 4)}" y="{y + 4}" text-anchor="{side}">{text}</text>')
    height = base + 17 * half
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="average ranks">{"".join(parts)}</svg>'


def groups(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Largest runs of ascending ranks that lie within the difference, of two and more."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] <= difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
