"""The one list of kinds of plans: it feeds the reader, the command line, the contract tests and the docs.

Other packages add kinds by entry points of the group ``placement.kinds``, each naming an `Entry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

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
    keys : frozenset of str
        Top-level keys that only its files have, all of them; empty where `placement` decides.
    placement : str
        Value of the key ``placement`` of cluster files.
    """

    path: str
    summary: str
    keys: frozenset[str] = frozenset()
    placement: str = ""

    def load(self) -> Kind:
        """Import the kind."""
        module, name = self.path.split(":")
        return cast("Kind", getattr(import_module(module, __name__), name))

    def tells(self, data: Mapping[str, Any]) -> bool:
        """Whether a document is of this kind, by its keys."""
        if self.keys:
            return data.keys() >= self.keys
        return "nodes" in data and data.get("placement", "pipeline") == self.placement


KINDS: Mapping[str, Entry] = MappingProxyType(
    {
        "sessions": Entry(
            ".sessions.kind:SESSIONS",
            "chains of servers whose sessions reserve caches",
            frozenset({"servers", "num_blocks", "block_gb"}),
        ),
        "routes": Entry(
            ".routes.kind:ROUTES", "chains through a swarm that stands already", frozenset({"servers", "blocks"})
        ),
        "helix": Entry(
            ".replicated.kind:TABLED",
            "replicated placements on measured tables (Helix's format)",
            frozenset({"node_types", "coordinator", "links"}),
        ),
        "replicated": Entry(
            ".replicated.kind:REPLICATED", "blocks on several nodes, any chain through them", placement="replicated"
        ),
        "pipeline": Entry(".pipeline.kind:PIPELINE", "every block on one node, one chain", placement="pipeline"),
    }
)
