"""A property that is computed once for each object and thread: compiled kernels write into arrays of their data."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class PerThread(Generic[Value]):
    """Like `functools.cached_property`, but every thread has a value of its own.

    Kernels run without the interpreter's lock and keep their intermediate results in arrays that come with the data,
    so two threads that score placements of one problem must not share them.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember where the values of an object are kept."""
        self.place = f"_{name}_of_threads"

    def __get__(self, owner: Any, kind: type | None = None) -> Value:
        """The value of this object in this thread."""
        values = owner.__dict__.setdefault(self.place, threading.local())
        if not hasattr(values, "value"):
            values.value = self.compute(owner)
        found: Value = values.value
        return found
