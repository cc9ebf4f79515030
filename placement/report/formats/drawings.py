"""The map as SVG, blocks and memory as PNG."""

from __future__ import annotations

import io
import re
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ...errors import InputError
from ...plan.plan import Plan
from ..cluster_map import cluster_map
from ..html import rendered
from ..page import WIDE, title_of
from ..rows import USES, Row, rows_of
from ..shades import DARK, LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

USE_SHADES = dict(zip(USES, ("#0065a3", "#b04a00", "#7a5a00", "#8a8b95", "#e4e5ea"), strict=True))
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # characters that no XML may hold
ARROWS = (*(f"c{k}" for k in range(8)), *(f"k{k}" for k in range(4)))


def svg(plan: Plan) -> bytes:
    """The map with its own colours, for light and dark."""
    values = {
        "map": cluster_map(plan, width=WIDE),
        "arrows": ARROWS,
        "prefix": "a",
        "standalone": True,
        "light": list(enumerate(LIGHT)),
        "dark": list(enumerate(DARK)),
    }
    return NO_XML.sub("\ufffd", rendered("map.svg", values)).encode("utf-8", "replace")


def png(plan: Plan) -> bytes:
    """Blocks by node, and memory by use, drawn by matplotlib."""
    if find_spec("matplotlib") is None:
        raise InputError("drawing needs the package matplotlib: pip install 'llm-placement[plot]'", "--format png")
    from matplotlib.figure import Figure

    rows, _ = rows_of(plan)
    shown = rows[:40]
    figure = Figure(figsize=(11.0, 1.6 + 0.34 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _blocks(left, plan, shown)
    _memory(right, shown)
    figure.suptitle(_bare(title_of(plan)))
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a letter that the font lacks is drawn as a box
        figure.savefig(out, format="png", dpi=120, metadata={})
    return out.getvalue()


def _blocks(axes: Axes, plan: Plan, rows: list[Row]) -> None:
    for k, row in enumerate(rows):
        colour = LIGHT[int(row.shade[1:])] if row.shade else "#8a8b95"
        for strip in row.strips:
            hatch = "//" if strip.away else None
            axes.barh(k, strip.width, left=strip.left, color=colour, hatch=hatch, edgecolor="white")
    axes.set_yticks(range(len(rows)), [_bare(row.name[:28]) + (" *" if row.hot else "") for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"{plan.n_blocks} blocks, % of them" + ("; *: bottleneck" if any(r.hot for r in rows) else ""))


def _memory(axes: Axes, rows: list[Row]) -> None:
    for k, row in enumerate(rows):
        left = 0.0
        for use, width, _ in row.memory:
            axes.barh(k, width, left=left, color=USE_SHADES[use])
            left += width
    for use, colour in USE_SHADES.items():
        axes.barh(0, 0, color=colour, label=use)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(USE_SHADES), fontsize="small", frameon=False)
    axes.set_xlabel("% of the node's memory")


def _bare(text: str) -> str:
    """Text without mathematics: matplotlib reads what stands between dollar signs."""
    return text.replace("$", r"\$")
