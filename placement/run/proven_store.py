"""The key-value store of a run: the client's process holds it, every other one proves the run's secret to use it.

It takes the place of torch's TCPStore, which serves whoever reaches its port. Strangers cost the run nothing: each has
a thread of its own until its proof is due, of many the one that has waited longest must go, and nothing is read of them
but the short frames of a proof.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from torch.distributed import Store  # type: ignore[attr-defined]

from .control import RunError
from .proven_connection import PeerError, hear, prove, say

STORE_LIMIT_S = 20.0
"""How long a server, and a value, is waited for."""
PROOF_LIMIT_S = 5.0
ANSWER_LIMIT_S = 20.0
"""The server answers at once; one that is stopped or gone must not hold the others for ever."""
MOST_STRANGERS = 64
MOST_BYTES = 64 * 2**20
"""Longest frame between processes that have proved the secret: a plan is one value."""
_TICK_S = 0.005


def open_store(address: str, port: int, secret: str, *, serve: bool) -> ProvenStore:
    """Return the store at an address: the one that serves listens there and nowhere else, the others wait for it.

    Parameters
    ----------
    address : str
    port : int
    secret : str
        Of the run; it never travels.
    serve : bool

    Raises
    ------
    RunError
        The address or the port cannot be used, or nobody serves there in time.
    PeerError
        Whoever serves there does not know the secret.
    """
    server = _serve(address, port, secret) if serve else None
    until = time.monotonic() + STORE_LIMIT_S
    while True:
        try:
            own = socket.create_connection((address, port), timeout=STORE_LIMIT_S)
            break
        except OSError as error:
            if time.monotonic() > until:
                raise RunError(f"nobody answers on {address}:{port} ({error.strerror or error})") from None
            time.sleep(_TICK_S)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ProvenStore(prove(own, secret, serving=False, limit_s=ANSWER_LIMIT_S), STORE_LIMIT_S, server)


def _serve(address: str, port: int, secret: str) -> StoreServer:
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((address, port))
        server.listen(128)
    except OSError as error:
        server.close()
        raise RunError(f"cannot listen on {address}:{port} ({error.strerror or error})") from None
    return StoreServer(server, secret)


class StoreServer:
    """Keeps the values, and answers those who prove the secret.

    Parameters
    ----------
    server : socket
        Listening; belongs to this object afterwards.
    secret : str
        Of the run.
    """

    def __init__(self, server: socket.socket, secret: str) -> None:
        self.server, self.secret = server, secret
        self.values: dict[str, str] = {}
        self._strangers: dict[socket.socket, None] = {}  # in the order of their calls
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="store", daemon=True).start()

    def close(self) -> None:
        """Take no more calls; who is connected stays so until it leaves."""
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                if self.server.fileno() < 0:
                    return
                time.sleep(_TICK_S)  # out of descriptors, or a call that was taken back
                continue
            with self._lock:
                crowd = len(self._strangers) >= MOST_STRANGERS
                oldest = next(iter(self._strangers)) if crowd else None
                self._strangers[peer] = None
            if oldest is not None:
                self._send_away(oldest)
            threading.Thread(target=self._talk, args=(peer,), name="store peer", daemon=True).start()

    def _send_away(self, stranger: socket.socket) -> None:
        with self._lock:
            self._strangers.pop(stranger, None)
        with contextlib.suppress(OSError):
            stranger.shutdown(socket.SHUT_RDWR)

    def _talk(self, peer: socket.socket) -> None:
        try:
            with peer, prove(peer.dup(), self.secret, serving=True, limit_s=PROOF_LIMIT_S) as connection:
                with self._lock:
                    if peer not in self._strangers:
                        return
                    del self._strangers[peer]
                _wait_as_long_as_it_takes(connection)
                while True:
                    say(connection, {"value": self._answer(hear(connection, MOST_BYTES))})
        except (PeerError, OSError, KeyError, TypeError, ValueError):
            pass  # a stranger, or a process that ended
        finally:
            with self._lock:
                self._strangers.pop(peer, None)

    def _answer(self, asked: dict[str, Any]) -> Any:
        what, keys = asked["do"], [str(key) for key in asked["keys"]]
        with self._lock:
            if what == "check":
                return all(key in self.values for key in keys)
            key = keys[0]
            if what == "set":
                self.values[key] = str(asked["value"])
            elif what == "compare_set":
                if self.values.get(key, "") == asked["expected"]:
                    self.values[key] = str(asked["value"])
            elif what == "add":
                self.values[key] = str(int(self.values.get(key, "0")) + int(asked["value"]))
            elif what == "delete":
                return self.values.pop(key, None) is not None
            return self.values.get(key)


class ProvenStore(Store):
    """The store as a process of the run sees it, and as torch's process groups do.

    Parameters
    ----------
    connection : Connection
        To the server, proved.
    timeout_s : float
        How long a value is waited for.
    server : StoreServer, optional
        The server, where it is in this process.
    """

    def __init__(self, connection: Connection, timeout_s: float, server: StoreServer | None = None) -> None:
        super().__init__()
        self._connection, self._timeout_s, self._server = connection, timeout_s, server
        self._turn = threading.Lock()

    def close(self) -> None:
        """Leave; the server, if it is here, takes no more calls."""
        self._connection.close()
        if self._server is not None:
            self._server.close()

    def set(self, key: str, value: str | bytes) -> None:
        """Set a value."""
        self._ask("set", [key], value=_text(value))

    def get(self, key: str) -> bytes:
        """Return a value, waiting for it; raise `PeerError` when it does not come."""
        self.wait([key])
        return str(self._ask("get", [key])).encode("latin-1")

    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes) -> bytes:
        """Set a value where it is `expected` (empty: not set yet); return what it is then."""
        now = self._ask("compare_set", [key], expected=_text(expected), value=_text(desired))
        return str(now or "").encode("latin-1")

    def add(self, key: str, amount: int) -> int:
        """Add to a number and return it."""
        return int(self._ask("add", [key], value=amount))

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all keys are set."""
        return bool(self._ask("check", list(keys)))

    def delete_key(self, key: str) -> bool:
        """Delete a value; whether there was one."""
        return bool(self._ask("delete", [key]))

    def wait(self, keys: Sequence[str], timeout: timedelta | None = None) -> None:
        """Wait until all keys are set."""
        limit_s = self._timeout_s if timeout is None else timeout.total_seconds()
        until = time.monotonic() + limit_s
        while not self.check(keys):
            if time.monotonic() > until:
                raise PeerError(f"nobody said '{keys[0][:80]}' within {limit_s:.0f} s")
            time.sleep(_TICK_S)

    def has_extended_api(self) -> bool:
        """No queues and no requests for many values at once."""
        return False

    def _ask(self, what: str, keys: list[str], **more: Any) -> Any:
        with self._turn:
            say(self._connection, {"do": what, "keys": keys, **more})
            return hear(self._connection, MOST_BYTES)["value"]


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value.encode().decode("latin-1")


def _wait_as_long_as_it_takes(connection: Connection) -> None:
    """Take the limit for answers off: processes of the run may say nothing for long."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
