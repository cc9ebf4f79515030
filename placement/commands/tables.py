"""`placement tables`: what every score depends on, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..costs.build import build_tables
from ..errors import InputError
from ..files import plain, write_atomic
from ..kinds.asked import ask
from ..plan.plan import VERSION
from ..question.request import Request
from .options import File, ModelName, Set
from .output import ensure_writable, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tables)


def tables(
    file: File,
    overrides: Set = None,
    model: ModelName = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="TABLES.JSON", help="Write to a file instead.")] = None,
) -> None:
    """Print the cost tables as JSON: seconds, bytes and links per node and block."""
    ensure_writable(out)
    asked = ask(model, file, overrides=overrides or ())
    if "tables" not in asked.kind.can:
        raise InputError(f"has no cost tables by block: it asks for {asked.kind.name}", str(file))
    if not isinstance(asked.question, Request):
        raise InputError("has no cost tables by block: it states rates of whole nodes", str(file))
    data = table_document(asked.question)
    if out is None:
        print_json(data)
        return
    write_atomic(out, json.dumps(plain(data)) + "\n")


def table_document(request: Request) -> dict[str, Any]:
    """The tables with the names that their rows and columns belong to."""
    return {
        "model": request.model.name,
        "nodes": list(request.cluster.names),
        "blocks": [block.name for block in request.model.blocks],
        "notes": [*request.model.notes, *request.cluster.notes],
        **plain(build_tables(request)),
        "version": VERSION,
    }
