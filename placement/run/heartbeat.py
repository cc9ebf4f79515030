"""Signs of life: workers beat, the client's process watches, and the main thread looks at what was noticed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .control import Control

CUT_OFF = 4
"""Exit code of a worker that can no longer reach the store."""


@dataclass
class Notices:
    """What the beating or watching thread noticed, for the main thread to act on.

    Attributes
    ----------
    wake : callable
        Called with every notice: the main thread may be waiting for a message.
    lost : mapping of str to str
        Nodes that are lost, with the reason.
    newest : int
        Number of the newest plan.
    ended : bool
        The run is over.
    """

    wake: Callable[[], None]
    lost: dict[str, str] = field(default_factory=dict)
    newest: int = 0
    ended: bool = False

    def interrupt(self, generation: int) -> bool:
        """Say whether there is something that ends the work on plan number `generation`."""
        return bool(self.lost) or self.ended or self.newest > generation

    def on_lost(self, node: str, why: str) -> None:
        """Take note of a lost node."""
        self.lost[node] = why
        self.wake()

    def on_plan(self, number: int) -> None:
        """Take note of a new plan."""
        self.newest = number
        self.wake()

    def on_end(self) -> None:
        """Take note of the end of the run."""
        self.ended = True
        self.wake()


class Pulse(threading.Thread):
    """Beats for a worker, and notices new plans and the end of the run.

    Parameters
    ----------
    control : Control
        With a store connection of its own.
    interval_s : float
        Seconds between beats.
    busy_since : callable
        Returns when the main thread took up the message it computes on (`time.monotonic`), 0 when idle.
    notices : Notices
    """

    def __init__(self, control: Control, interval_s: float, busy_since: Callable[[], float], notices: Notices) -> None:
        super().__init__(name="pulse", daemon=True)
        self.control, self.interval_s, self.busy_since, self.notices = control, interval_s, busy_since, notices

    def run(self) -> None:
        """Beat until the process ends."""
        count, generation = 0, 0
        try:
            while True:
                count += 1
                since = self.busy_since()
                busy = time.monotonic() - since if since else 0.0
                self.control.put(f"beat/{self.control.uid}", [count, busy])
                if self.control.store.check(["stop"]):
                    self.notices.on_end()
                if self.control.store.check([f"plan/{generation + 1}"]):
                    generation += 1
                    self.notices.on_plan(generation)
                time.sleep(self.interval_s)
        except Exception:  # the store is gone: nobody is left to talk to
            os._exit(CUT_OFF)


class Watch(threading.Thread):
    """Finds the workers that gave no sign of life, and the errors that workers published.

    Parameters
    ----------
    control : Control
        With a store connection of its own.
    interval_s, limit_s, step_limit_s : float
        Seconds between looks; without a beat; on one message.
    on_lost, on_error : callable
        Called with the number of a process and why it counts as lost, and with an error message.
    """

    def __init__(
        self,
        control: Control,
        interval_s: float,
        limit_s: float,
        step_limit_s: float,
        on_lost: Callable[[int, str], None],
        on_error: Callable[[str], None],
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self.control, self.interval_s, self.limit_s, self.step_limit_s = control, interval_s, limit_s, step_limit_s
        self.on_lost, self.on_error = on_lost, on_error
        self.members: set[int] = set()
        self._seen: dict[int, tuple[int, float]] = {}

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            time.sleep(self.interval_s)
            error = self.control.get("error")
            if error:
                self.on_error(str(error))
            for uid in sorted(self.members):
                self._look(uid)

    def _look(self, uid: int) -> None:
        count, busy = self.control.get(f"beat/{uid}") or (0, 0.0)
        before, since = self._seen.get(uid, (-1, 0.0))
        now = time.monotonic()
        if count != before:
            self._seen[uid] = (count, now)
            since = now
        silent = now - since
        if silent > self.limit_s or busy > self.step_limit_s:
            self.members.discard(uid)
            what = f"no sign of life for {silent:.1f} s" if silent > self.limit_s else f"hung for {busy:.0f} s"
            self.on_lost(uid, what)
