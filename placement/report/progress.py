"""A progress bar on stderr: seconds, best value and gap, in people's units."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from objectives.clock import clock

from ..plan.values import first_unit
from ..quantities import percent, quantity

if TYPE_CHECKING:
    from objectives.combine import Objective

    from ..search.stop import Progress

UNKNOWN = 1e6  # a time limit of as many seconds is none
COMPILING = "compiling search kernels, once on this machine (not counted against the time limit)"


class Move(Protocol):
    """Moves a bar."""

    def __call__(self, done: float, text: str, total: float | None = None, /) -> None:
        """Set what is done and the text beside it; a total, once it is known."""
        ...


@contextmanager
def progress_bar(
    objective: Objective, time_limit: float, *, hidden: bool = False
) -> Iterator[Callable[[Progress], None] | None]:
    """Show a bar while the body runs and give it the function that moves it; None where nobody looks at stderr."""
    with text_bar(time_limit, hidden=hidden) as move:
        if move is None:
            yield None
            return

        def show(progress: Progress) -> None:
            if progress.doing:
                move(progress.share, progress.doing, 1.0)
            else:
                move(progress.seconds, describe(objective, progress))

        yield show


@contextmanager
def count_bar(first: str, unit: str, total: int, *, hidden: bool = False) -> Iterator[Callable[[int], None] | None]:
    """Show `first` until something was counted, then how many of `total`; None where nobody looks at stderr."""
    with text_bar(total, first=first, hidden=hidden) as move:
        yield None if move is None else lambda count: move(count, f"{count:,} of {total:,} {unit}")


@contextmanager
def text_bar(total: float | None = None, *, first: str = "preparing", hidden: bool = False) -> Iterator[Move | None]:
    """Show a bar and give the body the function that moves it, with its text; None where nobody looks at stderr.

    Parameters
    ----------
    total : float or None
        What will be done, in any unit; None, or more than ten days of seconds, when nobody knows.
    first : str
        Text until the bar is moved.
    hidden : bool
        Show nothing.
    """
    if hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, Task, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Doing(ProgressColumn):
        """What is done at the moment; drawn by a thread of its own, so that a search that compiles is seen to."""

        def render(self, task: Task) -> Text:
            return Text(doing(task.description), style="none")

    with Bar(
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        Doing(),
        console=Console(stderr=True),
        transient=True,
        expand=False,
    ) as bar:
        task = bar.add_task(first, total=total if total is not None and total < UNKNOWN else None)

        def move(done: float, text: str, total: float | None = None, /) -> None:
            bar.update(task, completed=done, description=text, total=total)

        yield move


def doing(text: str) -> str:
    """What to say at the moment: a text, unless kernels are being compiled, which stops all else."""
    return COMPILING if clock.paused else text


def describe(objective: Objective, progress: Progress) -> str:
    """One line on the best placement so far."""
    if progress.violation > 0:
        return f"nothing fits yet, {progress.evaluations:,} placements tried"
    value = quantity(objective.value(progress.cost), first_unit(objective))
    gap = f", gap {percent(progress.gap)}" if progress.gap < 1e6 else ""
    return f"best {value}{gap}, {progress.evaluations:,} placements"
