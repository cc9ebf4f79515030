"""`placement whatif`: what other nodes, links, lengths or formats would give."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from objectives.clock import clock

from ..errors import InputError
from ..files import plain, read_document, write_atomic
from ..kinds.asked import ask
from ..optimize import Search, answer
from ..plan.plan import VERSION, Plan
from ..report.progress import text_bar
from ..report.whatif import whatif_view
from ..whatif.answers import answered, rooted
from ..whatif.changes import not_asked, own, usual
from .options import File, Json, ObjectiveName, Out, Quiet, Seed, Set
from .output import SOLVED, console, ensure_writable, print_json

BASE_SHARE = 0.25  # of the time, for the question as it is


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(whatif)


def whatif(
    file: File,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="NAME[*N]", help="One more device; or server like NAME."),
    ] = None,
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
    """Ask what else would help: one node or server more or less, other links, lengths, formats; or a change of yours.

    With --add, --remove or --set that one change is answered, else one of each kind.
    """
    ensure_writable(out)
    data = rooted(read_document(file, expect=("model", "nodes", "servers")), file.parent)
    base = ask(None, file, objective=objective)  # what is wrong with the file is told before anything is changed
    note = ""
    if add or remove or overrides:
        changes = [own(data, add or (), remove or (), overrides or ())]
    else:
        changes, note = list(usual(data)), not_asked(data)
    if base.wish.objective.pareto:
        raise InputError("what-ifs are compared by one objective, not by a front: give --objective", str(file))
    with text_bar(len(changes) + 1, first="the question as it is", hidden=quiet or json) as move:
        plan, began = Plan.load(start) if start is not None else None, clock.now()
        if plan is None:
            plan = answer(base, Search("auto", BASE_SHARE * seconds, seed)).plan
        took = max(0.0, clock.now() - began - BASE_SHARE * seconds)
        left = seconds * (1.0 if start is not None else 1.0 - BASE_SHARE)
        show = None if move is None else lambda done, text: move(done + 1, text)
        rows = answered(base, plan, changes, seconds=left, seed=seed, objective=objective, show=show, took=took)
    document = {"base": plan.to_dict(), "changes": [row.to_dict() for row in rows], "note": note, "version": VERSION}
    if out is not None:
        write_atomic(out, dumps(plain(document), indent=2) + "\n")
    if json:
        print_json(document)
    elif not quiet:
        console().print(whatif_view(plan, rows, note))
    return SOLVED
