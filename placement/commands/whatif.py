"""`placement whatif`: what other nodes, links, lengths or formats would give."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..files import plain, read_document, write_atomic
from ..kinds.asked import ask
from ..optimize import Search, answer
from ..plan.plan import VERSION, Plan
from ..report.progress import text_bar
from ..report.whatif import whatif_view
from ..whatif.answers import Row, answered, rooted
from ..whatif.changes import own, usual
from .options import File, Json, ObjectiveName, Out, Quiet, Seed, Set
from .output import SOLVED, console, ensure_writable, print_json

BASE_SHARE = 0.25  # of the time, for the question as it is


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(whatif)


def whatif(
    file: File,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="DEVICE[*N]", help="With this device more.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="NODE", help="Without this node.")] = None,
    overrides: Set = None,
    start: Annotated[
        Path | None, typer.Option("--start", "--from", metavar="PLAN.JSON", help="The plan in hand; else it is sought.")
    ] = None,
    objective: ObjectiveName = None,
    seconds: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", help="Of search, for everything together.")
    ] = 15.0,
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Ask what else would help: one node more or less, faster links, more context, other formats; or a change of yours.

    With --add, --remove or --set that one change is answered, else one of each kind.
    """
    ensure_writable(out)
    data = rooted(read_document(file, expect=("model", "nodes")), file.parent)
    base = ask(None, file, objective=objective)  # what is wrong with the file is told before anything is changed
    if add or remove or overrides:
        if add or remove:
            _check_kind(data, file)
        changes = [own(data, add or (), remove or (), overrides or ())]
    else:
        _check_kind(data, file)
        changes = list(usual(data))
    if base.wish.objective.pareto:
        raise InputError("what-ifs are compared by one objective, not by a front: give --objective", str(file))
    with text_bar(len(changes) + 1, first="the question as it is", hidden=quiet or json) as move:
        plan, began = Plan.load(start) if start is not None else None, perf_counter()
        if plan is None:
            plan = answer(base, Search("auto", BASE_SHARE * seconds, seed)).plan
        took = max(0.0, perf_counter() - began - BASE_SHARE * seconds)
        left = seconds * (1.0 if start is not None else 1.0 - BASE_SHARE)
        show = None if move is None else lambda done, text: move(done + 1, text)
        rows = answered(base, plan, changes, seconds=left, seed=seed, objective=objective, show=show, took=took)
    document = {"base": plan.to_dict(), "changes": [row.to_dict() for row in rows], "version": VERSION}
    _deliver(plan, rows, document, out=out, json=json, quiet=quiet)
    return SOLVED


def _check_kind(data: Any, file: Path) -> None:
    if "nodes" not in data:
        raise InputError("has no key 'nodes' whose entries could be more or less: give a change with --set", str(file))


def _deliver(plan: Plan, rows: list[Row], document: Any, *, out: Path | None, json: bool, quiet: bool) -> None:
    if out is not None:
        write_atomic(out, dumps(plain(document), indent=2) + "\n")
    if json:
        print_json(document)
    elif not quiet:
        console().print(whatif_view(plan, rows))
