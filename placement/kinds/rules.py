"""Whose rules a named runtime keeps: the one place where names of runtimes, aliases and releases meet exporters."""

from __future__ import annotations

from ..catalog.runtimes import meanings
from ..export import make_runtime, runtime_names
from ..export.base import Runtime


def exporter_name(runtime: str) -> str:
    """Name of the exporter whose rules a runtime, an alias or a release of one keeps; empty where there is none.

    `ollama` and `llama.cpp-2024` run llama.cpp's code: what that can hold, they can.
    """
    known = runtime_names()
    return next((name for name in (runtime, *meanings(runtime)) if name in known), "")


def exporter_of(runtime: str) -> Runtime | None:
    """The exporter whose rules a runtime keeps; None for no runtime, or one of which only the costs are known."""
    name = exporter_name(runtime)
    return make_runtime(name) if name else None
