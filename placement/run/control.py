"""What the processes of a run tell each other beside the tensors: signs of life, errors, new plans, figures.

It lives in the key-value store of the rendezvous (torchrun's, or the one that the launcher's client opens).
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from ..errors import PlacementError

STORE_TIMEOUT_S = 20.0
CUT_OFF = 4
"""Exit code of a worker that can no longer reach the store."""


class RunError(PlacementError):
    """A run that could not be finished: one line that says which worker and why.

    Parameters
    ----------
    message : str
    tokens : list of list of int, optional
        What had been generated until then.
    """

    def __init__(self, message: str, tokens: list[list[int]] | None = None) -> None:
        self.tokens = tokens or []
        super().__init__(message)


def open_store(address: str, port: int, *, serve: bool) -> Any:
    """Return a TCPStore at `address`; the serving one listens there and nowhere else."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    timeout = timedelta(seconds=STORE_TIMEOUT_S)
    if not serve:
        return TCPStore(address, port, None, False, timeout, wait_for_workers=False)
    # TCPStore itself would listen on every interface.
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((address, port))
        server.listen(128)
    except OSError as error:
        server.close()
        raise RunError(f"cannot listen on {address}:{port} ({error.strerror or error})") from None
    fd = server.detach()
    return TCPStore(address, port, None, True, timeout, wait_for_workers=False, master_listen_fd=fd)


class Control:
    """One process's view of the store.

    Parameters
    ----------
    store : Store
    uid : int
        Number of this process.
    """

    def __init__(self, store: Any, uid: int) -> None:
        self.store, self.uid = store, uid

    def put(self, key: str, value: Any) -> None:
        """Publish plain data."""
        self.store.set(key, json.dumps(value))

    def get(self, key: str) -> Any:
        """Return published data, or None when there is none yet."""
        return json.loads(self.store.get(key)) if self.store.check([key]) else None

    def fail(self, message: str) -> None:
        """Publish an error; the first one counts."""
        self.store.compare_set("error", "", json.dumps(message))

    def await_all(self, keys: Iterable[str], limit_s: float, stop: Callable[[], bool]) -> bool:
        """Wait until all keys are there; False when `stop` says so or after `limit_s` seconds."""
        missing, until = list(keys), time.monotonic() + limit_s
        while missing:
            missing = [key for key in missing if not self.store.check([key])]
            if missing and (stop() or time.monotonic() > until):
                return False
            if missing:
                time.sleep(0.01)
        return True


class Pulse(threading.Thread):
    """Beats for a worker, and notices new plans and the end of the run.

    Parameters
    ----------
    control : Control
        With a store connection of its own.
    interval_s : float
    busy_since : callable
        Returns when the main thread took up the message it computes on (`time.monotonic`), 0 when idle.
    on_news : callable
        Called with the number of a new generation, or None for the end of the run.
    """

    def __init__(
        self,
        control: Control,
        interval_s: float,
        busy_since: Callable[[], float],
        on_news: Callable[[int | None], None],
    ) -> None:
        super().__init__(name="pulse", daemon=True)
        self.control, self.interval_s, self.busy_since, self.on_news = control, interval_s, busy_since, on_news
        self.generation = 0

    def run(self) -> None:
        """Beat until the process ends."""
        count = 0
        try:
            while True:
                count += 1
                since = self.busy_since()
                busy = time.monotonic() - since if since else 0.0
                self.control.put(f"beat/{self.control.uid}", [count, busy])
                if self.control.store.check(["stop"]):
                    self.on_news(None)
                if self.control.store.check([f"plan/{self.generation + 1}"]):
                    self.generation += 1
                    self.on_news(self.generation)
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
        Between looks; without a beat; on one message.
    on_lost, on_error : callable
        Called with the number of a process, and with an error message.
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
