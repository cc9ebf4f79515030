"""`placement show`: a plan in the terminal, or in a notation to paste elsewhere; `placement compare`: two of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..files import write_atomic
from ..kinds import kind_named
from ..plan.beside import beside
from ..plan.plan import Plan
from ..report.formats import FORMATS, writer
from ..report.side import beside_view
from ..report.tree import map_view
from .options import Json, Out
from .output import SOLVED, console, ensure_writable, print_json

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="A plan of any kind.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(show)
    app.command()(compare)


def show(
    plan: PlanFile,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help=f"{', '.join(FORMATS)}; default: a table.")
    ] = None,
    out: Out = None,
) -> int:
    """Show a plan: stages, map, memory and time in the terminal, or as mermaid, dot, svg, png, csv or markdown."""
    ensure_writable(out)
    found = Plan.load(plan)
    if format_ is None:
        if out is not None:
            raise InputError("expected --format with --out: the table is for the terminal", "--out")
        screen = console()
        ascii_only = screen.options.ascii_only
        screen.print(kind_named(found.kind, plan).view(found, ascii_only=ascii_only))
        screen.print()
        screen.print(map_view(found, ascii_only=ascii_only))
        return SOLVED
    content = writer(format_)(found)
    if out is not None:
        write_atomic(out, content)
    elif FORMATS[format_].binary:
        if sys.stdout.isatty():
            raise InputError(f"expected --out FILE: a {format_} is not for a terminal", "--format")
        sys.stdout.buffer.write(content)
    else:
        typer.echo(content.decode(), nl=False)
    return SOLVED


def compare(
    first: Annotated[Path, typer.Argument(metavar="A.JSON", help="A plan, what runs now for example.")],
    second: Annotated[Path, typer.Argument(metavar="B.JSON", help="Another one of the same model.")],
    json: Json = False,
) -> int:
    """Put two plans side by side: figures, spans, and the bytes that must be loaded to go from one to the other."""
    found = beside(Plan.load(first), Plan.load(second))
    if json:
        print_json(found.to_dict())
    else:
        console().print(beside_view(found, (first.name, second.name)))
    return SOLVED
