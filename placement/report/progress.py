"""A progress bar on stderr: seconds, best value and gap, in people's units."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .text import percent, quantity

if TYPE_CHECKING:
    from objectives.combine import Objective

    from ..stop import Progress


@contextmanager
def progress_bar(
    objective: Objective, time_limit: float, *, hidden: bool = False
) -> Iterator[Callable[[Progress], None] | None]:
    """Show a bar while the body runs and give it the function that moves it; None where nobody looks at stderr."""
    if hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    total = time_limit if time_limit < 1e6 else None
    columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True, expand=False) as bar:
        task = bar.add_task("preparing", total=total)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.seconds, description=describe(objective, progress))

        yield show


def describe(objective: Objective, progress: Progress) -> str:
    """One line on the best placement so far."""
    if progress.violation > 0:
        return f"nothing fits yet, {progress.evaluations:,} placements tried"
    name = objective.single or ""
    value = quantity(name, objective.value(progress.cost))
    gap = f", gap {percent(progress.gap)}" if progress.gap < 1e6 else ""
    return f"best {value}{gap}, {progress.evaluations:,} placements"
