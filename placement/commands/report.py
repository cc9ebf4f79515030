"""`placement report`: one HTML page on a plan of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..export import runtime_names
from ..export.api import RefusedError, export_plan
from ..files import read_json, write_atomic
from ..kinds import kind_named
from ..kinds.asked import ask
from ..kinds.called import called_for
from ..plan.plan import Plan
from ..report.page import Command, Extras, page
from .options import ModelName, Set
from .output import SOLVED, ensure_writable, say

MOST_REFUSED = 20
COLUMNS = {"changes": ("change", "shown", "gain_shown", "per_dollar_shown")}  # texts of every row, by the list's key
FIRST = ("llama.cpp", "vllm", "petals", "sglang", "accelerate")
Whatif = Annotated[
    Path | None, typer.Option("--whatif", metavar="WHATIF.JSON", help="Of `placement whatif --json`: its table.")
]
Simulated = Annotated[
    Path | None,
    typer.Option("--simulated", metavar="RUNS.JSON", help="Of `placement simulate --rate 1/s,2/s --json`: curves."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="A plan of any kind.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Its question, for a plan that was written without a map.")
    ] = None,
    html: Annotated[Path, typer.Option("--html", metavar="PAGE.HTML", help="Where to write it.")] = Path("report.html"),
    whatif: Whatif = None,
    simulated: Simulated = None,
    model: ModelName = None,
    overrides: Set = None,
) -> int:
    """Write a page on a plan: map, blocks and memory, time, figures, commands; it needs no network."""
    ensure_writable(html)
    found = Plan.load(plan)
    kind_named(found.kind, plan)  # refuses the kind that is none, with the file
    if file is not None:
        asked = ask(model, file, overrides=overrides or ())
        if asked.kind.name != found.kind:
            raise InputError(f"asks for {asked.kind.name}, the plan is of the kind '{found.kind}'", str(file))
        found = asked.pictured(found)
    write_atomic(html, page_of(found, whatif=whatif, simulated=simulated))
    say(f"written: {html}")
    return SOLVED


def page_of(plan: Plan, *, whatif: Path | None = None, simulated: Path | None = None) -> str:
    """The page of a plan with the commands of the runtimes that can hold it."""
    commands, refused = commands_of(plan)
    extras = Extras(
        units=kind_named(plan.kind).terms.units,
        commands=commands,
        refused=refused,
        whatif=rows_of(whatif, "changes"),
        runs=rows_of(simulated, "runs"),
    )
    return page(plan, extras)


def commands_of(plan: Plan) -> tuple[tuple[Command, ...], tuple[tuple[str, str], ...]]:
    """How runtimes are started with a plan, those that people use most first; and which cannot hold it."""
    if "export" not in kind_named(plan.kind).can:
        return (), ()
    commands: list[Command] = []
    refused: list[tuple[str, str]] = []
    names = runtime_names()
    for name in sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        try:
            called = called_for(plan, name, {})
            written = export_plan(plan, name, at=called.at)
        except RefusedError as error:
            refused.append((name, error.reasons[0]))
        except InputError as error:
            refused.append((name, str(error)))
        else:
            commands.append(Command(name, written.text, (*called.notes, *written.lost)))
    return tuple(commands), tuple(refused[:MOST_REFUSED])


def rows_of(path: Path | None, key: str) -> tuple[Mapping[str, Any], ...]:
    """The rows of a document that another command wrote; one run stands for a list of one."""
    if path is None:
        return ()
    data = read_json(path)
    found = data.get(key, [data] if key == "runs" else None) if isinstance(data, Mapping) and data else None
    if not isinstance(found, list) or not all(isinstance(row, Mapping) for row in found):
        raise InputError(f"expected a JSON document with a list '{key}'", str(path))
    for number, row in enumerate(found):
        for word in COLUMNS.get(key, ()):
            if not isinstance(row.get(word), str):
                raise InputError(
                    "expected a text, as `placement whatif --json` writes", f"{path}: {key}[{number}].{word}"
                )
    return tuple(found)
