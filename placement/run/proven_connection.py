"""Connections that prove a shared secret before they carry anything: `multiprocessing.connection` over a socket.

Both sides answer the other's challenge (an HMAC over its random number). What follows is JSON in frames of bounded
length, and no answer takes longer than a limit. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import socket
import struct
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from ..errors import PlacementError

MOST_BYTES = 4096
"""Longest frame that is accepted unless told otherwise: names, numbers and ports."""


class PeerError(PlacementError):
    """The other side of a connection does not know the secret, says nothing, or something else than it should."""


def prove(own: socket.socket, secret: str, *, serving: bool, limit_s: float) -> Connection:
    """Take a connected socket over, and return the connection once both sides have proved that they know the secret.

    Parameters
    ----------
    own : socket
        Belongs to the connection afterwards, and is closed when there is none.
    secret : str
        The same on both sides; it never travels.
    serving : bool
        This side was called, and asks first. The two sides differ in this.
    limit_s : float
        Seconds that any answer may take, later ones included; whole seconds count.

    Raises
    ------
    PeerError
        The other side does not know the secret, or did not answer in time.
    """
    own.settimeout(None)
    # A limit of the kernel's: the connection reads the bare descriptor, which Python's own time-out does not reach.
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        own.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", max(1, int(limit_s)), 0))
    connection, key = Connection(own.detach()), secret.encode()
    steps = (deliver_challenge, answer_challenge) if serving else (answer_challenge, deliver_challenge)
    try:
        for step in steps:
            step(connection, key)
    except (AuthenticationError, AssertionError) as error:  # an assertion is what garbage ends with
        connection.close()
        raise PeerError(
            f"the other side does not prove the secret ({error or 'not an answer of this program'})"
        ) from None
    except (EOFError, OSError) as error:
        connection.close()
        raise PeerError(_line(error)) from None
    return connection


def say(connection: Connection, data: dict[str, Any]) -> None:
    """Send a message; raise `PeerError` when the other side is gone."""
    try:
        connection.send_bytes(json.dumps(data).encode())
    except OSError as error:
        raise PeerError(_line(error)) from None


def hear(connection: Connection, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Return the next message; raise `PeerError` when there is none in time, a longer one, or something else."""
    try:
        data = json.loads(connection.recv_bytes(most_bytes))
    except (EOFError, OSError) as error:
        raise PeerError(_line(error)) from None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise PeerError("expected a message of this program, got something else")
    return data


def _line(error: Exception) -> str:
    if isinstance(error, BlockingIOError):
        return "the other side did not answer in time"
    return f"the other side broke the connection off ({getattr(error, 'strerror', None) or 'it ended'})"
