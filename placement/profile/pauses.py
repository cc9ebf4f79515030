"""What happens between two passes of a stage: in a pipeline a host mostly waits, and is slower for it at its turn.

Its clock has dropped, its core has slept, and the caches hold what ran in between. Passes in a row know nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Rest:
    """A pause before every measured pass.

    Attributes
    ----------
    times : float
        As long as that many passes: a host that is one of several works for its share of a step.
    least_s, most_s : float
        But no shorter and no longer, in seconds.
    evict_bytes : float
        Memory that is read at the start of the pause: where several hosts share a processor's caches, as emulated ones
        do, the weights of the others pass through them.
    """

    times: float = 4.0
    least_s: float = 0.005
    most_s: float = 0.05
    evict_bytes: float = 0.0

    def between(self, device: str) -> Callable[[float], None]:
        """Return what is called before a pass, with the seconds of the one before."""
        other = torch.ones(int(self.evict_bytes) // 4) if self.evict_bytes and device == "cpu" else None

        def rest(last_s: float) -> None:
            until = time.perf_counter() + min(max(self.times * last_s, self.least_s), self.most_s)
            if other is not None:
                other.sum()
            # At least a short sleep: the thread must have been off its core.
            time.sleep(max(until - time.perf_counter(), 0.001))

        return rest

    def __str__(self) -> str:
        """Say it in the conditions of a profile."""
        pause = f"{self.times:g} passes ({self.least_s * 1e3:g} to {self.most_s * 1e3:g} ms)"
        return f"after a pause of {pause}" + (f", {self.evict_bytes / 1e6:.0f} MB read" if self.evict_bytes else "")


PAUSES = Rest()
"""What goes before every pass unless told otherwise."""
