"""What every command shares: exit codes, one JSON document on stdout, remarks on stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .. import files
from ..errors import printable
from ..files import plain

if TYPE_CHECKING:
    from rich.console import Console

SOLVED, ERROR, INFEASIBLE, NOT_FOUND, INTERRUPTED = 0, 1, 2, 3, 130


def say(message: str) -> None:
    """Write a remark to stderr; nothing in it can command a terminal."""
    typer.echo("\n".join(printable(line) for line in message.split("\n")), err=True)


def print_json(data: Any) -> None:
    """Write one JSON document to stdout; numbers that JSON cannot hold become null."""
    typer.echo(json.dumps(plain(data), indent=2, allow_nan=False))


def console(*, stderr: bool = False) -> Console:
    """Return a console for tables; 80 columns where the width is not known.

    Names are shown as they are: brackets in them are no markup, and colons no emoji.
    """
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False, markup=False, emoji=False)


def ensure_writable(*paths: Path | None) -> None:
    """Refuse a place that cannot be written before the search, not after it."""
    for path in paths:
        if path is not None:
            files.ensure_writable(path)


def exit_code(*, interrupted: bool, usable: bool, out: Path | None) -> int:
    """Say what an interrupted search leaves behind; return the exit code of a search."""
    if interrupted and not usable:
        say("interrupted: no placement that fits was found so far" + (f"; {out} is left as it was" if out else ""))
    elif interrupted:
        say("interrupted: this is the best plan so far")
    return INTERRUPTED if interrupted else SOLVED
