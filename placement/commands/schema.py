"""`placement schema`: the JSON schema of cluster.yaml."""

from __future__ import annotations

import typer

from .output import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(schema)


def schema() -> None:
    """Print the JSON schema of cluster.yaml."""
    from ..readers.schema.file import json_schema

    print_json(json_schema())
