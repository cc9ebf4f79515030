"""`placement bench`: how far each solver is from proven optima. Registered by the entry point in pyproject.toml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placement.commands.output import INTERRUPTED, SOLVED, console, say
from placement.report.progress import text_bar

if TYPE_CHECKING:
    from .experiments import Record

Folder = Annotated[
    Path | None, typer.Option("--instances", metavar="DIR", help="Cluster files or Helix cases instead of the shipped.")
]
Names = Annotated[str | None, typer.Option("--only", metavar="A,B", help="Instances or families, comma-separated.")]
Solvers = Annotated[
    str | None, typer.Option("--solvers", metavar="A,B", help="Solvers, rivals, or 'all', comma-separated.")
]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Runs of each solver that draws random numbers.", min=1)]
Seconds = Annotated[float | None, typer.Option("--seconds", help="Of search, for each run.")]
Minutes = Annotated[float | None, typer.Option("--minutes", help="After which no run is begun.", min=0)]
Runs = Annotated[
    list[Path] | None,
    typer.Option("--report-only", metavar="FILE", help="Make tables of this runs.csv of any machine; may be repeated."),
]
Workers = Annotated[int, typer.Option("--workers", help="Processes of one thread; by default one per core.", min=0)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="A few instances, done within two minutes.")] = False,
    instances: Folder = None,
    only: Names = None,
    solvers: Solvers = None,
    seeds: Seeds = None,
    seconds: Seconds = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where runs and tables go.")] = Path("bench"),
    workers: Workers = 0,
    minutes: Minutes = None,
    report_only: Runs = None,
) -> int:
    """Compare solvers on many instances: gap tables, profiles and rankings as CSV, Markdown and one page.

    An interrupted benchmark goes on where it stopped when it is started again with the same --out.
    """
    from . import bench as harness  # loads solvers and rivals, which --help has no use for

    if report_only:
        return _written(harness.report_only(report_only, out, seconds=seconds, shipped=instances is None))
    more: dict[str, Any] = {"out": out, "workers": workers}
    given = {"instances": instances, "seeds": seeds, "seconds": seconds, "minutes": minutes}
    more |= {key: value for key, value in given.items() if value is not None}
    more |= {
        key: harness.names_of(text, ()) for key, text in (("names", only), ("solvers", solvers)) if text is not None
    }
    options = harness.Options.quick(**more) if quick else harness.Options(**more)
    try:
        with text_bar() as move:

            def show(done: int, total: int, record: Record) -> None:
                if move is not None:
                    move(done, f"{record.instance}: {record.solver}", total)

            files = harness.bench(options, show, say)
    except KeyboardInterrupt:
        say(f"interrupted; what is done is in {out / 'runs.csv'}, the same command goes on from there")
        return INTERRUPTED
    return _written(files)


def _written(files: list[Path]) -> int:
    screen = console()
    for path in files:
        screen.print(str(path), markup=False)
    return SOLVED
