"""Rogue peers: ``python -m benchmarks.robustness.rogues --times 50 --seed 0``.

A tiny model runs on three processes, and one peer of every kind calls at each of their ports at a random moment. The
text must be that of the undisturbed run. No peer knows the run's secret.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer

from placement.run.proven_connection import PeerError, prove

from .running import TOKENS, Bench, descriptors, make_bench, struck

Address = tuple[str, int]
Peer = Callable[[Address, np.random.Generator, contextlib.ExitStack], None]
CROWD = 1000
CALL_S = 5.0
HELD_S = 30.0  # that a peer keeps its connection at most
GREETING = b"#CHALLENGE#{sha256}"


def called(address: Address, held: contextlib.ExitStack) -> socket.socket:
    """A connection that stays open until the run is over."""
    return held.enter_context(socket.create_connection(address, timeout=CALL_S))


def framed(message: bytes) -> bytes:
    """A message as `multiprocessing.connection` frames it."""
    return struct.pack("!i", len(message)) + message


def garbage(address: Address, rng: np.random.Generator, held: contextlib.ExitStack) -> None:
    """Bytes that mean nothing."""
    called(address, held).sendall(rng.bytes(int(rng.integers(1, 65536))))


def half_frame(address: Address, rng: np.random.Generator, held: contextlib.ExitStack) -> None:
    """The beginning of what a peer says, and then silence."""
    whole = framed(GREETING + rng.bytes(40))
    called(address, held).sendall(whole[: int(rng.integers(1, len(whole)))])


def huge_length(address: Address, rng: np.random.Generator, held: contextlib.ExitStack) -> None:
    """Lengths of 2^63 and the like, in all orders of bytes."""
    lengths = (struct.pack("!iQ", -1, 2**63), struct.pack("<Q", 2**63), struct.pack("!i", 2**31 - 1), b"\xff" * 16)
    called(address, held).sendall(lengths[int(rng.integers(len(lengths)))] + rng.bytes(64))


def replayed(address: Address, rng: np.random.Generator, held: contextlib.ExitStack) -> None:
    """What a process of another run said to prove its secret, word for word."""
    called(address, held).sendall(recorded(str(rng.integers(2**40))))


def crowd(address: Address, rng: np.random.Generator, held: contextlib.ExitStack) -> None:
    """A thousand connections that say nothing."""
    for _ in range(CROWD):
        with contextlib.suppress(OSError):
            called(address, held)


def slow(address: Address, rng: np.random.Generator, held: contextlib.ExitStack) -> None:
    """A byte now and then, and nothing is ever read."""
    peer, whole = called(address, held), framed(GREETING + rng.bytes(40))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    until = time.monotonic() + HELD_S
    for byte in whole:
        if time.monotonic() > until:
            return
        peer.sendall(bytes([byte]))
        time.sleep(0.1)


PEERS: Mapping[str, Peer] = {peer.__name__: peer for peer in (garbage, half_frame, huge_length, replayed, crowd, slow)}


def recorded(secret: str) -> bytes:
    """All that the caller says while two sides prove a secret to each other."""
    ours, relay = socket.socketpair()
    theirs, far = socket.socketpair()
    said = bytearray()

    def forward(source: socket.socket, target: socket.socket, keep: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(4096):
                if keep is not None:
                    keep += part
                target.sendall(part)

    def served() -> None:
        with contextlib.suppress(PeerError):
            prove(far, secret, serving=True, limit_s=CALL_S).close()

    jobs = [
        threading.Thread(target=forward, args=(relay, theirs, said), daemon=True),
        threading.Thread(target=forward, args=(theirs, relay, None), daemon=True),
        threading.Thread(target=served, daemon=True),
    ]
    for job in jobs:
        job.start()
    prove(ours, secret, serving=False, limit_s=CALL_S).close()
    jobs[-1].join(CALL_S)
    for end in (relay, theirs):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
    return bytes(said)


def ports(pids: Mapping[str, int]) -> list[Address]:
    """Where the processes of a run listen."""
    found: set[Address] = set()
    for pid in pids.values():
        with contextlib.suppress(psutil.Error):
            links = psutil.Process(pid).net_connections("inet")
            found |= {(link.laddr.ip, link.laddr.port) for link in links if link.status == psutil.CONN_LISTEN}
    return sorted(found)


def attacked(bench: Bench, rng: np.random.Generator) -> tuple[str, Counter[str]]:
    """A run with a peer of every kind at every port, each at a random token; how it ended, and the calls by kind."""
    calls: Counter[str] = Counter()
    threads: list[threading.Thread] = []
    before = descriptors()
    with contextlib.ExitStack() as held:

        def call(name: str, address: Address, seed: int) -> None:
            calls[name] += 1
            with contextlib.suppress(OSError):  # it is sent away, sooner or later
                PEERS[name](address, np.random.default_rng(seed), held)

        def strike(pids: Mapping[str, int]) -> None:
            for address in ports(pids):
                for name in PEERS:
                    wait, seed = float(rng.uniform(0.0, 1.0)), int(rng.integers(2**40))
                    threads.append(threading.Timer(wait, call, (name, address, seed)))
                    threads[-1].daemon = True
                    threads[-1].start()

        ending = struck(bench, after=int(rng.integers(1, TOKENS // 2)), strike=strike, counted=False)
        for thread in threads:
            thread.join(HELD_S)
    more = descriptors() - before
    return (ending if more <= 0 else f"DESCRIPTORS LEFT OPEN: {more}"), calls


def main(
    times: Annotated[int, typer.Option("--times", min=1, help="Runs, each with a peer of every kind.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Let rogue peers call over and over; exit code 1 when one of them disturbed a run."""
    endings: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        bench = make_bench(Path(scratch))
        for number in range(times):
            ending, made = attacked(bench, np.random.default_rng([seed, number]))
            endings[ending] += 1
            calls += made
            typer.echo(json.dumps({"number": number, "ending": ending, "calls": sum(made.values())}), err=True)
    for ending, count in endings.most_common():
        typer.echo(f"{count:4d} runs: {ending}")
    typer.echo("calls: " + ", ".join(f"{count} {name}" for name, count in sorted(calls.items())))
    sys.exit(set(endings) != {"equal text"})


if __name__ == "__main__":
    typer.run(main)
