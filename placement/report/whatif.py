"""Changed questions as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..plan.plan import Plan
from .table import objective_line


class Shown(Protocol):
    """A row: what is changed, the objective then, the gain, and the gain for each $/h."""

    @property
    def change(self) -> str:
        """What is changed."""
        ...

    @property
    def shown(self) -> str:
        """The value."""
        ...

    @property
    def gain_shown(self) -> str:
        """The gain."""
        ...

    @property
    def per_dollar_shown(self) -> str:
        """The gain for each $/h."""
        ...


def whatif_view(plan: Plan, rows: Sequence[Shown], note: str = "") -> RenderableType:
    """The question as it is, a row for each change, and what was not asked."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("change", plan.objective.name, "gain", "gain per $/h"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(row.change, row.shown, row.gain_shown, row.per_dollar_shown)
    parts: list[RenderableType] = [Text(f"as it is: {objective_line(plan.objective)}", style="bold"), table]
    return Group(*parts, Text(note, style="dim")) if note else Group(*parts)
