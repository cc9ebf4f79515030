"""Run plans on real models. Importing this package does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .control import RunError
from .launcher import Launch, run_plan
from .result import RunResult

if TYPE_CHECKING:
    from .local import execute

__all__ = ["Launch", "RunError", "RunResult", "execute", "run_plan"]


def __getattr__(name: str) -> Any:
    if name == "execute":
        from .local import execute  # works on torch's modules in this process, and so imports torch

        return execute
    raise AttributeError(name)
