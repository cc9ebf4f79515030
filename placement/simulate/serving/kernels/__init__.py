"""Compiled parts of the serving simulation, under a cache of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from objectives.jit import compiler

kernel = compiler(Path(__file__).parent)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only other kernels call."""
    return kernel(function, inner=True)
