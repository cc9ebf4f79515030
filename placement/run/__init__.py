"""Run plans on real models. Importing this package does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .control import RunError
    from .launcher import Launch, run_plan
    from .local import execute
    from .result import RunResult

__all__ = ["Launch", "RunError", "RunResult", "execute", "run_plan"]

_HOMES = {
    "Launch": "launcher",
    "RunError": "control",
    "RunResult": "result",
    "execute": "local",
    "run_plan": "launcher",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(name)
