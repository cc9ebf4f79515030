"""What a message takes over the executor's transport: frames, threads and wake-ups included, as in a run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import torch

from ..run.transport import BROKEN, STOP, WORK, LinkDownError, Message, Transport

SMALL, LARGE, PINGS, LOADS = 256, 1 << 20, 200, 8
"""Numbers of 4 bytes in a small and in a large message, and how many of each."""

PAUSE_S = 0.002
"""Rest before each ping: in a pipeline a host waits between messages, and waking up is part of what one takes."""

_LIMIT_S = 20.0


def ping(
    transport: Transport, me: int, other: int, *, rest: Callable[[float], None] | None = None
) -> tuple[float, float, float]:
    """Return median and 95th percentile of the latency (s), and the bandwidth (bytes/s) of the slower direction.

    `rest` is called before each ping (see `Rest.between`); by default it is a short sleep.
    """
    pause = rest or (lambda _: time.sleep(PAUSE_S))
    small, large = _values(transport, SMALL), _values(transport, LARGE)
    _trip(transport, me, other, small)
    trips = []
    for _ in range(PINGS):
        pause(0.0)
        trips.append(_trip(transport, me, other, small) / 2)
    there, back = [], []
    for _ in range(LOADS):
        there.append(_trip(transport, me, other, large))
        back.append(_trip(transport, me, other, small))
    latency, late = float(np.median(trips)), float(np.quantile(trips, 0.95))
    slower = max(float(np.median(there)), float(np.median(back)))
    # Between GPUs of one host a large message takes no longer than a small one: what cannot be told from the scatter of
    # the latency is not bandwidth.
    return latency, late, 4.0 * LARGE / max(slower - 2 * latency, late - latency, 1e-9)


def pong(transport: Transport, me: int, other: int) -> None:
    """Answer `ping` on the other side."""
    small, large = _values(transport, SMALL), _values(transport, LARGE)
    for _ in range(1 + PINGS):
        _answer(transport, me, other, small)
    for _ in range(LOADS):
        _answer(transport, me, other, small)
        _answer(transport, me, other, large)


def part(transport: Transport, me: int, next_one: int) -> None:
    """End the receiving threads: each process says so to the next one, and hears it from the one before.

    One of the two may leave first: a connection that breaks now has carried all that it should.
    """
    with contextlib.suppress(LinkDownError):
        transport.send(Message(STOP, me, next_one))
        transport.receive(_LIMIT_S)
    transport.close()


def _values(transport: Transport, n: int) -> torch.Tensor:
    return torch.zeros((1, 1, n), device=transport.device if transport.between_gpus else "cpu")


def _trip(transport: Transport, me: int, other: int, values: torch.Tensor) -> float:
    began = time.perf_counter()
    transport.send(Message(WORK, me, other, values=values))
    _next(transport)
    return time.perf_counter() - began


def _answer(transport: Transport, me: int, other: int, values: torch.Tensor) -> None:
    _next(transport)
    transport.send(Message(WORK, me, other, values=values))


def _next(transport: Transport) -> None:
    message = transport.receive(_LIMIT_S)
    if message is None:
        raise RuntimeError(f"no answer within {_LIMIT_S:.0f} s")
    if message.kind == BROKEN:
        raise RuntimeError(transport.broken)
