"""Time limits are for searches: what numba compiles does not count."""

from __future__ import annotations

import time
from typing import Any

from numba import njit

from objectives.clock import SearchClock, clock
from objectives.jit import kernel


def test_compilations_do_not_count() -> None:
    """The clock stands still while a function is compiled, and goes on afterwards."""
    assert callable(kernel)  # the module that has it listens to numba

    def inner(value: float) -> float:
        return value * value + 1.0

    compiled: Any = njit(inner)

    def outer(value: float) -> Any:
        return compiled(value) + compiled(value + 1.0)

    twice: Any = njit(outer)

    began, wall = clock.now(), time.perf_counter()
    twice(2.0)
    counted, took = clock.now() - began, time.perf_counter() - wall
    assert counted < 0.5 * took
    began, wall = clock.now(), time.perf_counter()
    time.sleep(0.05)
    assert clock.now() - began >= 0.05


def test_one_within_another_counts_once() -> None:
    """Only the outermost compilation starts and stops the clock."""
    own = SearchClock()
    own.pause()
    own.pause()
    began = own.now()
    time.sleep(0.02)
    own.resume()
    time.sleep(0.02)
    assert own.now() == began
    own.resume()
    time.sleep(0.01)
    assert own.now() >= began + 0.01
