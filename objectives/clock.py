"""The clock of searches: seconds of this process, without those in which kernels were compiled.

A time limit is for the search. The first run on a machine compiles for many seconds, once; counted against the limit,
they would leave that run with what it began with.
"""

from __future__ import annotations

import threading
import time


class SearchClock:
    """A clock that can be paused, by several at once and within each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pauses = 0
        self._since, self._spent = 0.0, 0.0

    def now(self) -> float:
        """Seconds; only differences mean something, as of `time.perf_counter`."""
        with self._lock:
            return (self._since if self._pauses else time.perf_counter()) - self._spent

    @property
    def paused(self) -> bool:
        """Whether kernels are being compiled."""
        return self._pauses > 0

    def pause(self) -> None:
        """Stand still until as many times `resume` is called."""
        with self._lock:
            if self._pauses == 0:
                self._since = time.perf_counter()
            self._pauses += 1

    def resume(self) -> None:
        """Go on, where this was the last pause."""
        with self._lock:
            self._pauses -= 1
            if self._pauses == 0:
                self._spent += time.perf_counter() - self._since


clock = SearchClock()
