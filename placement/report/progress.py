"""A progress bar on stderr: seconds, best value and gap, in people's units."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..quantities import percent, quantity

if TYPE_CHECKING:
    from objectives.combine import Objective

    from ..search.stop import Progress


@contextmanager
def progress_bar(
    objective: Objective, time_limit: float, *, hidden: bool = False
) -> Iterator[Callable[[Progress], None] | None]:
    """Show a bar while the body runs and give it the function that moves it; None where nobody looks at stderr."""
    total = time_limit if time_limit < 1e6 else None
    with _bar("preparing", total, hidden=hidden) as move:
        if move is None:
            yield None
            return

        def show(progress: Progress) -> None:
            move(progress.seconds, describe(objective, progress))

        yield show


@contextmanager
def count_bar(first: str, unit: str, total: int, *, hidden: bool = False) -> Iterator[Callable[[int], None] | None]:
    """Show `first` until something was counted, then how many of `total`; None where nobody looks at stderr."""
    with _bar(first, total, hidden=hidden) as move:
        yield None if move is None else lambda count: move(count, f"{count:,} of {total:,} {unit}")


@contextmanager
def text_bar(time_limit: float, *, hidden: bool = False) -> Iterator[Callable[[float, str], None] | None]:
    """Show a bar and give the body the function that moves it, with its text; None where nobody looks at stderr."""
    with _bar("preparing", time_limit if time_limit < 1e6 else None, hidden=hidden) as move:
        yield move


@contextmanager
def _bar(first: str, total: float | None, *, hidden: bool) -> Iterator[Callable[[float, str], None] | None]:
    if hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True, expand=False) as bar:
        task = bar.add_task(first, total=total)
        yield lambda done, text: bar.update(task, completed=done, description=text)


def describe(objective: Objective, progress: Progress) -> str:
    """One line on the best placement so far."""
    if progress.violation > 0:
        return f"nothing fits yet, {progress.evaluations:,} placements tried"
    name = objective.single or ""
    value = quantity(name, objective.value(progress.cost))
    gap = f", gap {percent(progress.gap)}" if progress.gap < 1e6 else ""
    return f"best {value}{gap}, {progress.evaluations:,} placements"
