"""Ctrl-C while numba works waits for a moment at which it does no harm.

numba compiles and loads kernels through LLVM, whose Python side notes who owns a module just after the call that has
changed it. A ``KeyboardInterrupt`` raised between the two lets the module be freed twice, which ends the process with
a segmentation fault. So the main thread keeps the signal while numba holds its compiler's lock, and has it handled
afterwards. Type inference is the long part of a compilation, and touches no module: there it is handled at once.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from numba.core import event as numba_events

PASS, LOCK = "numba:run_pass", "numba:compiler_lock"
HARMLESS = "nopython_type_inference"  # the pass in which numba compiles what a kernel calls, each under its own events


class HeldInterrupts(numba_events.Listener):
    """Keeps interrupts of the main thread back while the innermost event is one of LLVM's."""

    def __init__(self) -> None:
        self._open: list[tuple[str, int, bool]] = []  # kind, identity, and whether interrupts wait
        self._before: Any = None  # the handler that stands when nothing is held
        self._holding = False
        self._pressed = False

    def on_start(self, event: Any) -> None:
        """Hold, or in a harmless pass let go of what is held."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python handles signals in the main thread alone
        self._hold()
        waits = not (event.kind == PASS and event.data["name"].startswith(HARMLESS))
        self._open.append((event.kind, id(event.data), waits))
        if not waits and not self._pressed:  # a pressed one is raised at an end: numba may not end what did not start
            self._let_go()

    def on_end(self, event: Any) -> None:
        """Go back to what the event around this one asked for."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._hold()
        if self._open and self._open[-1][:2] == (event.kind, id(event.data)):
            self._open.pop()
        if not (self._open and self._open[-1][2]):
            self._let_go()

    def _hold(self) -> None:
        if self._holding or signal.getsignal(signal.SIGINT) is None:  # None: whoever set it can set it back, we cannot
            return
        before = signal.signal(signal.SIGINT, self._keep)
        self._before, self._holding = before, True

    def _let_go(self) -> None:
        if not self._holding:
            return
        self._holding = False
        signal.signal(signal.SIGINT, self._before)
        if self._pressed:  # read after the handler is back: one that came a moment before it is not lost
            self._pressed = False
            signal.raise_signal(signal.SIGINT)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True


def hold_interrupts() -> None:
    """Keep interrupts back from now on wherever numba works on modules."""
    listen: Any = numba_events.register
    held = HeldInterrupts()
    for kind in (LOCK, PASS):
        listen(kind, held)
