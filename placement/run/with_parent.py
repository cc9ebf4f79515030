"""A process that ends with the one that started it, however that ends and whatever it is busy with itself."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Let the kernel end this process as soon as its parent is gone; end at once where it is gone already.

    The kernel does so in every state, also while a library is being loaded, when nothing of Python runs: no handler, no
    thread. What it looks at is the thread that started this process, which must live as long as this one is wanted.
    Other systems than Linux have nothing of the kind: there only the look at the beginning counts.

    Parameters
    ----------
    parent : int
        Process id, as the parent told it: it may be gone by now.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
