"""A plan beside those that somebody might have expected instead, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..plan.compare import relative_gap
from ..quantities import percent, quantity, seconds
from .table import interval

if TYPE_CHECKING:
    from ..plan.compare import Neighbour
    from ..plan.plan import Plan


def neighbours_view(plan: Plan, beside: Sequence[Neighbour]) -> RenderableType:
    """One row per plan: the objective and the time per token with its interval, the split, and what the difference is.

    Parameters
    ----------
    plan : Plan
        The one that was found.
    beside : sequence of Neighbour
    """
    if not beside:
        return Text("\nnothing to compare with: no plan on one node less or one more fits")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", plan.objective.name, "time per token", "difference", "split"):
        table.add_column(name, overflow="fold")
    table.add_row("this plan", *_cells(plan), "", _split(plan))
    for other in beside:
        table.add_row(other.what, *_cells(other.plan), _difference(plan, other), _split(other.plan))
    return Group(Text("\nbeside other plans", style="bold"), table)


def _cells(plan: Plan) -> tuple[str, str]:
    value = quantity(plan.objective.value, plan.objective.unit)
    return value, f"{seconds(plan.figures.time_per_token_s)}{interval(plan, 'latency')}"


def _difference(plan: Plan, other: Neighbour) -> str:
    """How much worse or better, and whether that can be told."""
    if other.broken:
        return f"does not fit: {other.broken[0]}"
    worse = relative_gap(other.plan.objective, plan.objective)
    better = relative_gap(plan.objective, other.plan.objective)
    words = f"{percent(worse)} worse" if worse >= better else f"{percent(better)} better"
    return words if other.told_apart else f"{words}: no difference that can be told"


def _split(plan: Plan) -> str:
    return " ".join(f"{span.node}={span.start}:{span.stop}" for span in plan.placement)
