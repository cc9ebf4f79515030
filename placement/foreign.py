"""Files of other worlds that `placement solve` takes as they are, told from cluster files by their keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import read_document


@dataclass(frozen=True, slots=True)
class Ask:
    """What the command line asks of a file.

    Attributes
    ----------
    objective : str or None
        Its name; None takes the file's own or the default.
    solver : str
        "auto" or a name.
    edges : str
        Edge rule of replicated placements, "exact" or "partial".
    seed, time_limit, out, json, quiet, start
        As the options of the command.
    """

    objective: str | None
    solver: str
    edges: str
    seed: int
    time_limit: float
    out: Path | None
    json: bool
    quiet: bool
    start: Path | None = None


Handler = Callable[[Path, Ask], int]

# Keys that only such a file has, and who answers; modules are imported when one comes.
READERS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"servers", "num_blocks", "block_gb"}), "placement.kinds.sessions.command:answer"),
    (frozenset({"node_types", "coordinator", "links"}), "placement.kinds.replicated.command:answer"),
)


def handler_of(path: Path) -> Handler | None:
    """Return who answers for a file; None for cluster files and for what cannot be read."""
    try:
        data = read_document(path)
    except InputError:
        return None
    for keys, target in READERS:
        if data.keys() >= keys:
            module, name = target.split(":")
            handler: Any = getattr(import_module(module), name)
            return handler  # type: ignore[no-any-return]
    return None
