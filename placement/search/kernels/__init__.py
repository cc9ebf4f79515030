"""Compiled moves and loops of the search. Every encoding gives the loops four functions; see `encoding.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from objectives.jit import compiler

HERE = Path(__file__).parents[2]
# Kernels call kernels of other folders, so all share one cache, whose key covers the sources of all.
SOURCES = sorted(folder for folder in HERE.rglob("kernels") if folder.is_dir())
kernel = compiler(*SOURCES)


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only other kernels call."""
    return kernel(function, inner=True)
