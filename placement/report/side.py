"""Two plans side by side for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..plan.beside import Beside
from ..plan.plan import Figures, Plan
from ..quantities import percent, quantity, size
from .figures import ordered, words_of
from .table import objective_line

MOST_LOADS = 20


def beside_view(found: Beside, names: tuple[str, str]) -> RenderableType:
    """Figures with their differences, spans, and what is loaded where.

    Parameters
    ----------
    found : Beside
    names : tuple of str
        What the two plans are called.
    """
    figures = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", *names, "difference"):
        figures.add_column(name, overflow="fold")
    both = Figures({name: value for name, pair in found.figures.items() for value in pair if value is not None})
    for name in ordered(both):
        title, unit = words_of(name)
        one, other = found.figures[name]
        cells = ("" if value is None else quantity(value, unit) for value in (one, other))
        figures.add_row(title, *cells, difference(one, other))
    plans = (found.first, found.second)
    figures.add_row("objective", *(objective_line(plan.objective) for plan in plans), "")
    figures.add_row("split", *(_split(plan) for plan in plans), "")
    return Group(figures, Text(""), *_loads(found))


def difference(one: float | None, other: float | None) -> str:
    """How much the second value is above the first, in percent; empty where that says nothing."""
    if one is None or other is None or one == 0 or one == other:
        return ""
    share = other / one - 1.0
    return f"+{percent(share)}" if share > 0 else f"-{percent(-share)}"


def _split(plan: Plan) -> str:
    return " ".join(f"{span.node}={span.start}:{span.stop}" for span in plan.placement[:40])


def _loads(found: Beside) -> list[RenderableType]:
    if not found.loads:
        return [Text("nothing has to be loaded: every node keeps its blocks or fewer")]
    moved = found.moved_bytes
    blocks = sum(len(load.blocks) for load in found.loads)
    much = f", {size(moved)}" if moved is not None else ""
    lines: list[RenderableType] = [Text(f"to go from the first to the second: {blocks} blocks to load{much}")]
    for load in found.loads[:MOST_LOADS]:
        words = f", {size(load.n_bytes)}" if load.n_bytes is not None else ""
        lines.append(Text(f"  {load.node}: {len(load.blocks)} blocks{words}"))
    if len(found.loads) > MOST_LOADS:
        lines.append(Text(f"  and {len(found.loads) - MOST_LOADS} more nodes"))
    return lines
