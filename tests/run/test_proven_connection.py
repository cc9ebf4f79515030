"""Who does not prove the secret gets nothing, and costs one line; who does is heard in frames of bounded length."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.run.proven_connection import MOST_BYTES, PeerError, hear, prove, say

SECRET = "a long secret"


def serve(other: Callable[[socket.socket], Any], secret: str = SECRET, limit_s: float = 60.0) -> Connection:
    """Be called by `other`, which has the far end of the socket in a thread of its own."""
    own, far = socket.socketpair()
    thread = threading.Thread(target=other, args=(far,), daemon=True)
    thread.start()
    try:
        return prove(own, secret, serving=True, limit_s=limit_s)
    finally:
        thread.join(60)


def proven() -> tuple[Connection, Connection]:
    """Both ends of a connection."""
    ends: list[Connection] = []
    return serve(lambda far: ends.append(prove(far, SECRET, serving=False, limit_s=60.0))), ends[0]


@given(data=st.dictionaries(st.text(max_size=20), st.integers() | st.text(max_size=50) | st.none(), max_size=10))
@settings(deadline=None, max_examples=30)
def test_who_knows_the_secret_is_heard(data: dict[str, Any]) -> None:
    """What one side says is what the other hears, in both directions."""
    server, client = proven()
    with server, client:
        say(client, data)
        assert hear(server) == data
        say(server, data)
        assert hear(client) == data


def test_another_secret_ends_on_both_sides() -> None:
    """Neither gets a connection; each has one line that says so."""
    told: list[str] = []

    def other(far: socket.socket) -> None:
        with pytest.raises(PeerError) as caught:
            prove(far, "another secret", serving=False, limit_s=60.0)
        told.append(str(caught.value))

    with pytest.raises(PeerError, match="does not prove the secret"):
        serve(other)
    assert "\n" not in told[0]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00" * 4000,
        struct.pack("!i", -1) + struct.pack("!Q", 2**63),
        struct.pack("!i", 2**31 - 1),
        struct.pack("!i", 20) + b"half",
        b"",
    ],
    ids=["http", "zeros", "2^63", "2^31", "half a frame", "nothing"],
)
@pytest.mark.parametrize("serving", [True, False])
def test_rubbish_is_refused(rubbish: bytes, serving: bool) -> None:
    """Whoever sends something else and leaves is refused, by the side that asks first and by the other."""
    own, far = socket.socketpair()
    far.sendall(rubbish)
    far.shutdown(socket.SHUT_WR)
    with far, pytest.raises(PeerError) as caught:
        prove(own, SECRET, serving=serving, limit_s=60.0)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_silence_has_an_end() -> None:
    """Who connects and says nothing is given up after the limit, before the proof and after it."""
    own, far = socket.socketpair()
    with far, pytest.raises(PeerError, match="did not answer in time"):
        prove(own, SECRET, serving=True, limit_s=1.0)
    ends: list[Connection] = []
    server = serve(lambda far: ends.append(prove(far, SECRET, serving=False, limit_s=60.0)), limit_s=1.0)
    with server, ends[0], pytest.raises(PeerError, match="did not answer in time"):
        hear(server)


@pytest.mark.parametrize(
    "text", ["[1]", "3", "{", "\udcff", "[" * 2000], ids=["list", "number", "cut", "bytes", "deep"]
)
def test_messages_are_objects(text: str) -> None:
    """Anything else is no message."""
    server, client = proven()
    with server, client:
        client.send_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(PeerError, match="expected a message"):
            hear(server)


def test_long_messages_are_not_read() -> None:
    """A frame over the limit ends the connection."""
    server, client = proven()
    with server, client:
        client.send_bytes(json.dumps({"a": "x" * MOST_BYTES}).encode())
        with pytest.raises(PeerError):
            hear(server)
