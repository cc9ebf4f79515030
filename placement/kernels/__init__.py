"""Compiled moves and loops of the search. Every encoding gives the loops four functions; see `encoding.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from objectives.kernels.jit import compiler

kernel = compiler(Path(__file__).parent)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only other kernels call."""
    return kernel(function, inner=True)
