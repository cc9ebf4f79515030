"""Points and lines in the units of a drawing: the search's curve, the Pareto front, simulated load."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..plan.picture import SearchPoint
from ..plan.plan import FrontPoint
from ..quantities import quantity, seconds

HEIGHT = 200.0
LEFT, RIGHT, TOP, BOTTOM = 104.0, 12.0, 10.0, 40.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its words; `target` is the number of what it stands for."""

    x: float
    y: float
    title: str
    target: int = -1


@dataclass(frozen=True, slots=True)
class Chart:
    """Axes with ticks, lines (colour, points of a polyline, dashed) and dots."""

    label: str
    x_name: str
    y_name: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[tuple[str, str, bool], ...]
    dots: tuple[Dot, ...]
    width: float
    height: float = HEIGHT


@dataclass(frozen=True, slots=True)
class Axes:
    """From values to the drawing's units."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0] or 1.0)
        up = (y - self.y[0]) / (self.y[1] - self.y[0] or 1.0)
        high = HEIGHT - TOP - BOTTOM
        return round(LEFT + across * (self.width - LEFT - RIGHT), 1), round(TOP + (1.0 - up) * high, 1)

    def ticks(self, words: tuple[Callable[[float], str], Callable[[float], str]]) -> tuple[Any, Any]:
        """Ticks of both axes."""
        count = 2 if self.width < 500 else 4
        across = [self.x[0] + (self.x[1] - self.x[0]) * k / count for k in range(count + 1)]
        up = [self.y[0] + (self.y[1] - self.y[0]) * k / 2 for k in range(3)]
        return (
            tuple((self.at(value, self.y[0])[0], words[0](value)) for value in across),
            tuple((self.at(self.x[0], value)[1], words[1](value)) for value in up),
        )


def span_of(values: Sequence[float], *, zero: bool = False) -> tuple[float, float]:
    """Ends of an axis around values, with some room."""
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), 0.02 * abs(high)) or 1.0  # ticks must differ in three digits
    return (0.0 if zero else max(low - pad, 0.0) if low >= 0 else low - pad), high + pad


def search_chart(points: Sequence[SearchPoint], unit: str, name: str, *, width: float) -> Chart | None:
    """The best value over time as steps, and the bound; None where nothing feasible was found."""
    found = [(p.seconds, p.value) for p in points if p.value is not None]
    bounds = [(p.seconds, p.bound) for p in points if p.bound is not None]
    if not found:
        return None
    last = max([p.seconds for p in points] + [1e-6])
    axes = Axes((0.0, last), span_of([value for _, value in found + bounds if math.isfinite(value)]), width)
    x_ticks, y_ticks = axes.ticks((seconds, lambda value: quantity(value, unit)))
    lines = [("c0", _steps(axes, found, last), False)]
    if bounds:
        lines.append(("c1", _steps(axes, bounds, last), True))
    label = "solid: best value found; dashed: proven bound" if bounds else "best value found"
    return Chart(label, "seconds of search", name, x_ticks, y_ticks, tuple(lines), (), width)


def _steps(axes: Axes, points: Sequence[tuple[float, float]], last: float) -> str:
    spots: list[str] = []
    before: float | None = None
    for when, value in (*points, (last, points[-1][1])):
        x, y = axes.at(when, value)
        spots += [f"{x},{before}"] if before is not None else []
        spots.append(f"{x},{y}")
        before = y
    return " ".join(spots)


def front_chart(front: Sequence[FrontPoint], units: Mapping[str, str], *, width: float) -> Chart | None:
    """The first two objectives of a front as dots that can be chosen; None where there is none to choose from."""
    if len(front) < 2 or len(front[0].values) < 2:
        return None
    names = list(front[0].values)[:2]
    spots = [(point.values[names[0]], point.values[names[1]]) for point in front]
    if not all(math.isfinite(value) for spot in spots for value in spot):
        return None
    axes = Axes(span_of([spot[0] for spot in spots]), span_of([spot[1] for spot in spots]), width)
    x_unit, y_unit = (units.get(name, "") for name in names)
    x_ticks, y_ticks = axes.ticks((lambda value: quantity(value, x_unit), lambda value: quantity(value, y_unit)))
    dots = tuple(
        Dot(*axes.at(x, y), f"plan {k + 1}: {quantity(x, x_unit)}, {quantity(y, y_unit)}", k)
        for k, (x, y) in enumerate(spots)
    )
    return Chart("each dot is a plan; choose one", names[0], names[1], x_ticks, y_ticks, (), dots, width)


LOADS = (
    ("time to first token, 99 of 100", "s", ("ttft_s", "p99")),
    ("time to first token, half of them", "s", ("ttft_s", "p50")),
    ("time per token, 99 of 100", "s", ("time_per_token_s", "p99")),
    ("requests served within the limits", "1/s", ("goodput_per_s", "")),
    ("output", "tokens/s", ("output_tokens_per_s", "")),
)


def load_charts(runs: Sequence[Mapping[str, Any]], *, width: float) -> list[Chart]:
    """Figures of simulated runs against the rate of requests: latencies, goodput, output."""
    rows = [(run.get("rate_per_s"), run.get("figures")) for run in runs if isinstance(run, Mapping)]
    charts = []
    for title, unit, keys in LOADS:
        spots = [(float(rate), _number(row, keys)) for rate, row in rows if isinstance(rate, int | float)]
        known = [(rate, value) for rate, value in spots if value is not None]
        if len(known) > 1:
            charts.append(_load_chart(known, title, unit, width))
    return charts


def _number(row: object, keys: tuple[str, str]) -> float | None:
    """A figure of a run, one of its percentiles where it has some; None where it is no number."""
    found = row.get(keys[0]) if isinstance(row, Mapping) else None
    found = found.get(keys[1]) if isinstance(found, Mapping) else found
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _load_chart(spots: Sequence[tuple[float, float]], title: str, unit: str, width: float) -> Chart:
    axes = Axes(span_of([x for x, _ in spots], zero=True), span_of([y for _, y in spots], zero=True), width)
    x_ticks, y_ticks = axes.ticks((lambda value: f"{value:.3g}", lambda value: quantity(value, unit)))
    line = " ".join("{},{}".format(*axes.at(*spot)) for spot in spots)
    dots = tuple(Dot(*axes.at(*spot), f"{spot[0]:.3g}/s: {quantity(spot[1], unit)}") for spot in spots)
    return Chart(title, "requests/s", title, x_ticks, y_ticks, (("c0", line, False),), dots, width)
