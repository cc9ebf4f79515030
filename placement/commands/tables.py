"""`placement tables`: what every score depends on, as JSON."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import File, ModelName, Set, request_of
from .output import ensure_writable, print_json

if TYPE_CHECKING:
    from ..question.request import Request


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
    data = table_document(request_of(file, overrides, model))
    if out is None:
        print_json(data)
        return
    import json

    from ..files import plain, write_atomic

    write_atomic(out, json.dumps(plain(data)) + "\n")


def table_document(request: Request) -> dict[str, Any]:
    """The tables with the names that their rows and columns belong to."""
    from ..costs.build import build_tables
    from ..plan.plan import VERSION

    found = build_tables(request)
    arrays = {item.name: getattr(found, item.name) for item in fields(found)}
    return {
        "model": request.model.name,
        "nodes": list(request.cluster.names),
        "blocks": [block.name for block in request.model.blocks],
        "notes": [*request.model.notes, *request.cluster.notes],
        **{name: value.tolist() if hasattr(value, "tolist") else value for name, value in arrays.items()},
        "version": VERSION,
    }
