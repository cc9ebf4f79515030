"""The catalog of runtimes as it stands in its YAML files: entries by name, aliases, and the formats of their files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from .tables import load


@lru_cache(maxsize=1)
def entries() -> Mapping[str, Mapping[str, Any]]:
    """Return the entries of runtimes.yaml by name; an entry stands after the one that it inherits from."""
    return MappingProxyType(load("runtimes.yaml")["runtimes"])


@lru_cache(maxsize=1)
def runtime_aliases() -> Mapping[str, str]:
    """Return every name and alias, with the name of the runtime that it means."""
    return MappingProxyType(
        {alias: name for name, entry in entries().items() for alias in (*entry.get("aliases", ()), name)}
    )


@lru_cache(maxsize=1)
def fitted() -> Mapping[str, Any]:
    """Return what the fit wrote: `cases`, `figures` and `intervals` by runtime and device class."""
    found = load("runtimes_fitted.yaml")
    return MappingProxyType({key: found.get(key) or {} for key in ("cases", "figures", "intervals")})


def runtime_at(name: str, date: str) -> str:
    """Return the name of a runtime as it was on a date (year, or year-month); of today without one."""
    meant = runtime_aliases().get(name, name)
    older = [
        (str(entry["before"]), other)
        for other, entry in entries().items()
        if date and meant in _ancestors(other) and date < str(entry.get("before", ""))
    ]
    return min(older)[1] if older else name


def meanings(name: str) -> Iterator[str]:
    """Yield the runtime that a name or alias means, then those that it inherits from, nearest first."""
    meant = runtime_aliases().get(name, "")
    while meant:
        yield meant
        meant = entries()[meant].get("inherits", "")


def _ancestors(name: str) -> Iterator[str]:
    """Runtimes that one inherits from, as long as each is another's release."""
    while "before" in entries().get(name, {}):
        name = entries()[name]["inherits"]
        yield name


def spelt(name: str) -> str:
    """Return the known name that has the same letters and digits, whatever its case and signs; else the name itself."""
    return name if name in runtime_aliases() else _by_letters().get(_letters(name), name)


@lru_cache(maxsize=1)
def _by_letters() -> Mapping[str, str]:
    return MappingProxyType({_letters(name): name for name in runtime_aliases()})


def _letters(name: str) -> str:
    return re.sub(r"[\s_.:-]", "", name.lower())


def files_of(runtime: str) -> str:
    """Return the kind of files that a runtime loads, where it is a kind with formats of its own; empty elsewhere."""
    return next((str(entries()[name]["files"]) for name in meanings(runtime) if "files" in entries()[name]), "")


def stored_format(runtime: str, weights: str) -> str:
    """Return the format that a runtime's own files have where people name another: GGUF files of MXFP4 models, say."""
    for name in meanings(runtime):
        formats = entries()[name].get("stored_as", {})
        if weights.strip().lower() in formats:
            return str(formats[weights.strip().lower()])
    return weights
