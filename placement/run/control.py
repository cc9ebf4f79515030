"""What the processes of a run tell each other beside the tensors: signs of life, errors, new plans, figures.

It lives in the key-value store of the run, which the client's process holds (`placement.run.proven_store`).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InputError, PlacementError


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


def free_port(address: str) -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise InputError(f"not an address of this host ({error.strerror})", address) from None
        return int(probe.getsockname()[1])


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
