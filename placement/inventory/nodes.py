"""Entries of cluster files: what `placement new --node` and `placement profile` write on other hosts."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..files import load_yaml
from .found import Found, FoundNode


@dataclass(frozen=True, slots=True)
class Nodes:
    """A document with a list `nodes`."""

    def tells(self, text: str) -> bool:
        """Whether it begins such a list."""
        return any(line.startswith("nodes:") for line in text.splitlines())

    def read(self, text: str, host: str) -> Found:
        """The entries as they are, under the name of their host where they say "here"."""
        data = load_yaml(text)
        entries = data.get("nodes") if isinstance(data, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
            raise InputError("expected a list of entries with names", "nodes")
        return Found(tuple(_named(entry, host) for entry in entries))


def _named(entry: dict[str, object], host: str) -> FoundNode:
    here = entry.get("host") == "here"
    keys = tuple((key, host if key == "host" and here else value, "") for key, value in entry.items() if key != "name")
    return FoundNode(f"{host}-{entry['name']}" if here else str(entry["name"]), keys)


NODES = Nodes()
