"""The store of a run serves who proves the secret; strangers of every kind cost it nothing."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("torch")

from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from placement.run.control import free_port
from placement.run.proven_connection import PeerError
from placement.run.proven_store import MOST_STRANGERS, ProvenStore, open_store

HOST, SECRET = "127.0.0.1", "what only the run knows"


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return free_port(HOST)


@pytest.fixture
def store(port: int) -> Iterator[ProvenStore]:
    """The store, in the process that serves it."""
    opened = open_store(HOST, port, SECRET, serve=True)
    yield opened
    opened.close()


def test_it_does_what_torch_asks_of_a_store(store: ProvenStore, port: int) -> None:
    """Values of one process are those of the other, bytes as they were; so through torch's own prefixes."""
    with contextlib.closing(open_store(HOST, port, SECRET, serve=False)) as other:
        store.set("a", bytes(range(256)))
        assert other.get("a") == bytes(range(256))
        assert other.check(["a"])
        assert not other.check(["a", "b"])
        assert [store.add("n", 2), other.add("n", 3), int(store.get("n"))] == [2, 5, 5]
        assert other.compare_set("error", "", "first") == b"first"
        assert store.compare_set("error", "", "second") == b"first"
        assert store.delete_key("a")
        assert not other.delete_key("a")
        mine, theirs = PrefixStore("group", store), PrefixStore("group", other)
        mine.set("x", "\u00e4")
        assert theirs.get("x") == "\u00e4".encode()
        assert theirs.check(["x"])
        assert store.get("group/x") == theirs.get("x")


def test_another_secret_is_refused(store: ProvenStore, port: int) -> None:
    """The caller is told, and can do nothing."""
    with pytest.raises(PeerError, match="secret"):
        open_store(HOST, port, "a guess", serve=False)
    assert not store.check(["a"])


def caller(port: int) -> socket.socket:
    """Somebody who can reach the port."""
    return socket.create_connection((HOST, port), timeout=30.0)


def rubbish(port: int) -> list[socket.socket]:
    """Something that is no frame."""
    peer = caller(port)
    peer.sendall(b"GET / HTTP/1.1\r\n\r\n" * 50)
    return [peer]


def half_a_frame(port: int) -> list[socket.socket]:
    """A frame that never ends."""
    peer = caller(port)
    peer.sendall(struct.pack("!i", 40) + b"#MESSAGE#")
    return [peer]


def endless(port: int) -> list[socket.socket]:
    """Lengths of 2^31 - 1 and 2^63 bytes."""
    peers = [caller(port), caller(port)]
    peers[0].sendall(struct.pack("!i", 2**31 - 1) + b"x" * 1000)
    peers[1].sendall(struct.pack("!i", -1) + struct.pack("!Q", 2**63) + b"x" * 1000)
    return peers


def silent(port: int) -> list[socket.socket]:
    """Somebody who neither says nor reads anything."""
    return [caller(port)]


def crowd(port: int) -> list[socket.socket]:
    """More callers than have room, and none leaves."""
    return [caller(port) for _ in range(3 * MOST_STRANGERS)]


@pytest.mark.parametrize("stranger", [rubbish, half_a_frame, endless, silent, crowd])
def test_strangers_cost_nothing(store: ProvenStore, port: int, stranger: Callable[[int], list[socket.socket]]) -> None:
    """While they are there, processes of the run come, and read and write as ever."""
    store.set("a", "1")
    peers = stranger(port)
    try:
        with contextlib.closing(open_store(HOST, port, SECRET, serve=False)) as other:
            assert other.get("a") == b"1"
            other.set("b", "2")
        assert store.get("b") == b"2"
    finally:
        for peer in peers:
            peer.close()


def test_a_proof_that_was_overheard_is_worth_nothing(store: ProvenStore, port: int) -> None:
    """Every call has a random number of its own: what another caller said does not answer it."""
    ends: list[bytes] = []
    with socket.create_server((HOST, 0)) as between:

        def listen_in() -> None:
            victim, _ = between.accept()
            with victim, caller(port) as real:
                victim.sendall(real.recv(4096))
                ends.append(victim.recv(4096))
                real.sendall(ends[0])
                victim.sendall(real.recv(4096))

        thread = threading.Thread(target=listen_in)
        thread.start()
        with contextlib.suppress(PeerError):
            open_store(HOST, between.getsockname()[1], SECRET, serve=False)
        thread.join()
    with caller(port) as again:
        again.recv(4096)
        again.sendall(ends[0])
        assert b"#FAILURE#" in again.recv(4096)
    store.set("a", "1")
    assert store.get("a") == b"1"
