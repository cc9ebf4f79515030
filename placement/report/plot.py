"""A front of chains as a picture, drawn by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, nearest
from ..files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..plan.plan import FrontPoint

FORMATS = ("png", "svg", "pdf")
EXACT, FOUND = "#1f77b4", "#d62728"
FIGURES = {"price": "price_per_token", "reliability": "survival"}
THIRDS = {"price": "price, $ per token", "reliability": "probability that no server of the chain fails"}


def ensure_drawable(path: Path | None) -> None:
    """Refuse before the search what could not be drawn after it.

    Raises
    ------
    InputError
        The format is none of `FORMATS`, or matplotlib is not installed.
    """
    if path is None:
        return
    ending = path.suffix[1:].lower()
    if ending not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise InputError(f"expected a file name that ends in one of {known}{nearest(ending, FORMATS)}", str(path))
    if find_spec("matplotlib") is None:
        raise InputError("drawing needs the package matplotlib: pip install 'llm-placement[plot]'", str(path))


def draw(
    path: Path, exact: Sequence[FrontPoint], found: Sequence[FrontPoint] = (), *, third: str | None = None
) -> None:
    """Draw latency against throughput: the exact front, and the chains that a search found beside it.

    Parameters
    ----------
    path : Path
        Picture to write; its ending gives the format.
    exact, found : sequence of FrontPoint
        Of the plan with the exact front, and of the one that was searched for: `Plan.pareto`.
    third : str or None
        The third objective of the front, "price" or "reliability"; it colours the chains. Without one the front is a
        staircase: what lies below and to the right of it is beaten.

    Raises
    ------
    InputError
        See `ensure_drawable`; or the place cannot be written.
    """
    ensure_drawable(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.5), layout="constrained")
    axes = figure.add_subplot(xlabel="latency, ms per token", ylabel="throughput, tokens/s")
    axes.grid(color="#e1e1e1")
    axes.set_axisbelow(True)
    if third is None:
        axes.step(*_points(exact), where="post", color=EXACT, marker="o", label="exact front")
    else:
        _coloured(axes, exact, third)
    if found:
        axes.scatter(*_points(found), marker="s", facecolors="none", edgecolors=FOUND, zorder=3, label="NSGA-II")
    figure.legend(loc="outside upper right", ncols=2)
    picture = io.BytesIO()
    # The same front gives the same file: no date, and no random names inside an SVG, whose text stays text.
    ending = path.suffix[1:].lower()
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[ending]
    with rc_context({"svg.hashsalt": "placement", "svg.fonttype": "none"}):
        figure.savefig(picture, format=ending, dpi=120, metadata=undated)
    write_atomic(path, picture.getvalue())


def _points(chains: Sequence[FrontPoint]) -> tuple[list[float], list[float]]:
    figures = [chain.figures for chain in chains]
    return [1e3 * row["time_per_token_s"] for row in figures], [row["tokens_per_s"] for row in figures]


def _coloured(axes: Axes, chains: Sequence[FrontPoint], third: str) -> None:
    values = [chain.figures[FIGURES[third]] for chain in chains]
    dots = axes.scatter(*_points(chains), c=values, marker="o", label="exact front")
    axes.figure.colorbar(dots, ax=axes, label=THIRDS[third])
