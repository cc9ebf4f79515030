"""Charts of a benchmark as SVG inside a page, by matplotlib; without it the page says what is missing."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .profiles import Curve
from .ranking import ALPHA, Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#e16f24", "#8250df", "#0a7ea4", "#bf3989", "#57606a")
DASHES = ("-", "--", ":", "-.")  # the next one when the colours are used up
GRID, BAR, INK = "#d8dee4", "#d1242f", "#57606a"


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values on a chart.

    Attributes
    ----------
    name : str
        With the unit.
    low, high : float
        Ends of the axis.
    log : bool
        Logarithmic. Values below `low` are drawn at `low` either way.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def inside(self, value: float) -> float:
        """The value, or the end of the axis beyond which it lies."""
        return min(max(value, self.low), self.high)

    @property
    def scale(self) -> str:
        """The word for matplotlib."""
        return "log" if self.log else "linear"


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def chart(curves: Mapping[str, Curve], x: Axis, y: Axis, *, stairs: bool, names: Sequence[str] = ()) -> str:
    """Draw curves.

    Parameters
    ----------
    curves : mapping of str to list of (float, float)
        Points of each curve by its name, from left to right.
    x, y : Axis
    stairs : bool
        Shares of a whole: steps that begin at zero and are drawn out to the right.
    names : sequence of str
        Names of all charts of a page, so that a curve has the same colour on each; those of `curves` by default.

    Returns
    -------
    str
        An SVG element; empty when there is nothing to draw.
    """
    if not any(curves.values()):
        return ""
    from matplotlib.figure import Figure

    names = names or tuple(curves)
    figure = Figure(figsize=(9.0, max(4.0, 0.6 + 0.24 * len(curves))), layout="constrained")
    axes = figure.add_subplot(
        xlabel=x.name, ylabel=y.name, xscale=x.scale, yscale=y.scale, xlim=(x.low, x.high), ylim=(y.low, y.high)
    )
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    for name, curve in curves.items():
        number = names.index(name)
        points = [(x.inside(px), y.inside(py)) for px, py in curve]
        if stairs and points:
            points = [(points[0][0], y.low), *points, (x.high, points[-1][1])]
        axes.plot(
            [px for px, _ in points],
            [py for _, py in points],
            drawstyle="steps-post" if stairs else "default",
            color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number // len(COLOURS) % len(DASHES)],
            label=name,
            clip_on=False,
        )
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return svg(figure, f"{y.name} over {x.name}")


def differences(ranking: Ranking) -> str:
    """Average ranks on one line as an SVG element; solvers that Nemenyi's test does not tell apart share a bar.

    J. Demsar, Journal of Machine Learning Research 7, 2006, https://jmlr.org/papers/v7/demsar06a.html.
    """
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from scikit_posthocs import critical_difference_diagram

    names = list(ranking.solvers)
    figure = Figure(figsize=(9.0, 1.2 + 0.16 * len(names)), layout="constrained")
    critical_difference_diagram(
        dict(zip(names, ranking.ranks, strict=True)),
        DataFrame(ranking.p_values, index=names, columns=names),
        alpha=ALPHA,
        ax=figure.add_subplot(),
        label_fmt_left="{label} {rank:.2f}",
        label_fmt_right="{rank:.2f} {label}",
        elbow_props={"color": INK, "linewidth": 0.8},
        marker_props={"s": 8},
        crossbar_props={"color": BAR, "linewidth": 3},
        label_props={"fontsize": "small"},
    )
    return svg(figure, "average ranks")


def svg(figure: Figure, label: str) -> str:
    """A figure as an SVG element with a label for those who cannot see it; the same figure gives the same text."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    element = file.getvalue()
    element = element[element.index("<svg ") :].strip()
    # Several drawings share a page: each has names of its own.
    prefix = re.sub(r"\W+", "-", label)
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", element)
    return element.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
