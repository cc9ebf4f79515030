"""The pace of a worker: what a pass took, and how an emulated slower host stretches it."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time
from dataclasses import dataclass, field

import torch

MOST_OVERSLEPT_S = 0.02
_PR_SET_TIMERSLACK = 29


@dataclass
class Pace:
    """Clock of one pass at a time.

    Parameters
    ----------
    factor : float
        How many times longer than here a pass takes on the emulated host; 1 is this machine's own pace.
    """

    factor: float = 1.0
    _began: float = field(default=0.0, init=False)
    _cpu: float = field(default=0.0, init=False)
    _overslept: float = field(default=0.0, init=False)

    def start(self) -> float:
        """Begin a pass; return the time on the clock of `time.perf_counter`."""
        self._began, self._cpu = time.perf_counter(), time.thread_time()
        return self._began

    def stop(self, values: torch.Tensor) -> float:
        """End a pass whose result is `values`; return what it took here, in seconds, and sleep what it lacks."""
        if values.is_cuda:
            # This stream only: messages on other streams are not part of the pass.
            torch.cuda.current_stream(values.device).synchronize()
        worked = time.perf_counter() - self._began
        if self.factor > 1.0:
            # The thread's own time: a busy neighbour on this machine must not slow the emulated host.
            used = worked if values.is_cuda else min(worked, time.thread_time() - self._cpu)
            # What the last sleep took too long comes off this one: an emulated host keeps its pace on a loaded machine.
            rest = used * self.factor - worked - self._overslept
            before = time.perf_counter()
            time.sleep(max(0.0, rest))
            self._overslept = min(MOST_OVERSLEPT_S, max(0.0, time.perf_counter() - before - rest))
        return worked


def sharp_timers() -> None:
    """Let this thread and those that it starts wake up on time: Linux adds 50 us to every wait by default."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1_000, 0, 0, 0)
