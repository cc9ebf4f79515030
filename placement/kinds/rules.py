"""Whose rules a named runtime keeps: the one place where names of runtimes, aliases and releases meet exporters."""

from __future__ import annotations

from ..catalog.runtimes import meanings, spelt
from ..errors import InputError
from ..export import make_runtime, runtime_names
from ..export.base import Runtime


def exporter_name(runtime: str) -> str:
    """Name of the exporter whose rules a runtime, an alias or a release of one keeps; empty where there is none.

    `ollama` and `llama.cpp-2024` run llama.cpp's code: what that can hold, they can.
    """
    known = runtime_names()
    return next((name for name in (runtime, *meanings(runtime)) if name in known), "")


def written_for(runtime: str) -> str:
    """Name of the exporter that writes for a runtime; one that only the costs are known of is refused by its name."""
    runtime = spelt(runtime)
    name = exporter_name(runtime)
    if not name and any(meanings(runtime)):
        raise InputError(f"no plan is written for {runtime}, of which only the costs are known: {_known()}")
    return name or runtime  # of one that nobody knows the list tells the nearest name


def _known() -> str:
    return f"expected one of {', '.join(runtime_names())}"


def exporter_of(runtime: str) -> Runtime | None:
    """The exporter whose rules a runtime keeps; None for no runtime, or one of which only the costs are known."""
    name = exporter_name(runtime)
    return make_runtime(name) if name else None
