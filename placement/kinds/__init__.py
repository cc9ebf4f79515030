"""The one list of kinds of plans: it feeds the reader, the command line, the contract tests and the docs.

Other packages add kinds by entry points of the group ``placement.kinds``, each naming an `Entry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from ..errors import InputError, nearest
from ..plugins import attribute, load, plugins

if TYPE_CHECKING:
    from .base import Kind


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a kind lives and how its files are told; the module is imported when a question comes.

    Attributes
    ----------
    path : str
        ``module:name``, the module relative to this package when it begins with a dot.
    summary : str
        One line for people.
    keys : tuple of frozenset of str
        Formats of its own: top-level keys that only such a file has, all of a set.
    placement : str
        Value of the key ``placement`` of cluster files that ask for it; empty when none does.
    questions : frozenset of str
        Python classes that are questions of this kind, as ``module.Class``: none is imported to be told.
    """

    path: str
    summary: str
    keys: tuple[frozenset[str], ...] = ()
    placement: str = ""
    questions: frozenset[str] = frozenset()

    def load(self) -> Kind:
        """Import the kind."""
        return cast("Kind", attribute(self.path, __name__))

    def tells(self, data: Mapping[str, Any]) -> bool:
        """Whether a document is of this kind, by its keys."""
        if any(data.keys() >= keys for keys in self.keys):
            return True
        return bool(self.placement) and "nodes" in data and data.get("placement", "pipeline") == self.placement


GROUP = "placement.kinds"
KINDS: Mapping[str, Entry] = MappingProxyType(
    {
        "sessions": Entry(
            ".sessions.kind:SESSIONS",
            "chains of servers whose sessions reserve caches",
            (frozenset({"servers", "num_blocks", "block_gb"}),),
            questions=frozenset({"objectives.sessions.chains.Fleet"}),
        ),
        "routes": Entry(
            ".routes.kind:ROUTES",
            "chains through a swarm that stands already",
            (frozenset({"servers", "blocks"}),),
            questions=frozenset({"objectives.routes.swarm.Swarm", "placement.question.routes.RoutesQuestion"}),
        ),
        "replicated": Entry(
            ".replicated.kind:REPLICATED",
            "blocks on several nodes, any chain through them",
            (frozenset({"node_types", "coordinator", "links"}),),
            "replicated",
            frozenset({"placement.question.case.ReplicatedCase"}),
        ),
        "pipeline": Entry(".pipeline.kind:PIPELINE", "every block on one node, one chain", (), "pipeline"),
    }
)


def all_kinds() -> dict[str, Entry]:
    """The entries of this list, and those that other packages register."""
    own = dict(KINDS)
    for name, point in plugins(GROUP, tuple(KINDS)).items():
        own[name] = cast(Entry, load(point))
    return own


def kind_named(name: str, file: str | Path = "") -> Kind:
    """The kind of that name; raise `InputError` with the nearest name, and the file, for an unknown one."""
    entries = all_kinds()
    if name not in entries:
        known = f"{nearest(name, entries)} (known: {', '.join(entries)})"
        raise InputError(f"unknown kind '{name}'{known}", f"{file}: kind" if file else "kind")
    return entries[name].load()


def kind_of_document(data: Mapping[str, Any]) -> Kind:
    """The kind whose keys a document has; one that has nobody's is read as a cluster file, whose reader says why."""
    entries = all_kinds()
    name = next((name for name, entry in entries.items() if entry.tells(data)), "pipeline")
    return entries[name].load()


def kind_of_question(question: object) -> Kind | None:
    """The kind of a question that was made in Python, None when it is nobody's."""
    classes = {f"{base.__module__}.{base.__qualname__}" for base in type(question).__mro__}
    return next((entry.load() for entry in all_kinds().values() if entry.questions & classes), None)
