"""Point-to-point messages over torch.distributed: a frame of fixed size that holds small tensors, then a large tensor.

One thread receives from everybody; the main thread sends without waiting. Emulated links live here as well: a message
carries the time at which an emulated wire would have delivered it, and is held back until then.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import torch

from .device_groups import DeviceGroups

WORK, TOKENS, FORGET, STOP, WAKE, BROKEN = range(6)
_MAGIC = 0x504C4143
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.float64)
_HEADER = 14
_INLINE_BYTES = 4096
"""Tensors up to this size travel in the frame: the hidden state of one token is one message, not two."""
_FRAME = _HEADER + _INLINE_BYTES // 8
_MOST_PENDING = 64
_FOREVER = timedelta(days=30)


class LinkDownError(Exception):
    """A connection broke: its other end is gone, or is about to say why."""


@dataclass(frozen=True, slots=True)
class Message:
    """A micro-batch on its way.

    Attributes
    ----------
    kind : int
        WORK for a stage, TOKENS for the client, FORGET a cache, STOP; WAKE and BROKEN never leave the process.
    source, target : int
        Places: nodes of the plan in order, the client last.
    batch, chain, hop : int
        Micro-batch, the chain that it follows, and the number of the span in that chain.
    position : int
        Position of the first token.
    values : tensor or None
    """

    kind: int
    source: int
    target: int
    batch: int = 0
    chain: int = 0
    hop: int = 0
    position: int = 0
    values: torch.Tensor | None = None


@dataclass
class LinkUse:
    """Traffic of one direction of a link, as the receiver saw it."""

    messages: int = 0
    n_bytes: int = 0
    busy_s: float = 0.0


@dataclass
class Transport:
    """The messages of one process.

    Parameters
    ----------
    group : ProcessGroupGloo
        All processes of the run.
    between_gpus : DeviceGroups or None
        Carries the tensors that are on a GPU (nccl); None sends everything through `group`.
    ranks : sequence of int
        Rank that hosts each place.
    rank : int
        Of this process.
    links : mapping of (int, int) to (float, float)
        Places to the latency in seconds and bandwidth in bytes/s of an emulated link.
    device : str
        Where tensors from `between_gpus` are put.
    """

    group: Any
    ranks: Sequence[int]
    rank: int
    links: Mapping[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    between_gpus: DeviceGroups | None = None
    device: str = "cpu"
    use: dict[tuple[int, int], LinkUse] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._due: list[tuple[int, int, Message]] = []
        self._count = itertools.count()
        self._ready = threading.Condition()
        self._free: dict[tuple[int, int], int] = {}
        self._pending: deque[tuple[Any, torch.Tensor]] = deque()
        self._closed = False
        self._inbox: Any = None
        self.broken = ""
        if len(set(self.ranks)) > 1:
            threading.Thread(target=self._receive_all, name="receive", daemon=True).start()

    def send(self, message: Message) -> None:
        """Hand a message to the wire (or to this process) and return."""
        values = message.values
        if values is not None and (self.between_gpus is None or values.dtype == torch.int32):
            values = values.to("cpu")
        if values is not None:
            values = values.contiguous()
        n_bytes = 0 if values is None else values.numel() * values.element_size()
        due, busy_s = self._emulated(message, n_bytes)
        rank = self.ranks[message.target]
        if rank == self.rank:
            self._count_use(message, n_bytes, busy_s)
            self._deliver(due, Message(**{**_fields(message), "values": values}))
            return
        frame = _frame(message, values, due, busy_s)
        try:
            self._hold(self.group.send([frame], rank, 0), frame)
            if values is not None and not _is_small(values):
                self._hold(self._group_for(values, self.rank, rank).send([values], rank, 1), values)
        except RuntimeError as error:
            raise LinkDownError(str(error).splitlines()[0]) from None

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message that is due, or None after `timeout_s` seconds."""
        stop = time.monotonic_ns() + int(timeout_s * 1e9)
        with self._ready:
            while True:
                now = time.monotonic_ns()
                if self._due and self._due[0][0] <= now:
                    return heapq.heappop(self._due)[2]
                if now >= stop:
                    return None
                until = min(stop, self._due[0][0]) if self._due else stop
                self._ready.wait((until - now) / 1e9)

    def wake(self) -> None:
        """Make `receive` return in the thread that waits there."""
        self._deliver(0, Message(WAKE, -1, -1))

    def close(self) -> None:
        """Ignore everything that still comes."""
        self._closed = True
        if self.between_gpus is not None:
            self.between_gpus.abort()

    def _emulated(self, message: Message, n_bytes: int) -> tuple[int, float]:
        pair = (message.source, message.target)
        if pair not in self.links or message.kind not in (WORK, TOKENS):
            return 0, 0.0
        latency_s, bandwidth = self.links[pair]
        busy_s = n_bytes / bandwidth if bandwidth > 0 else 0.0
        # One message after the other on a wire, all of them delayed by its latency.
        done = max(time.monotonic_ns(), self._free.get(pair, 0)) + int(busy_s * 1e9)
        self._free[pair] = done
        return done + int(latency_s * 1e9), busy_s

    def _hold(self, work: Any, values: torch.Tensor) -> None:
        self._pending.append((work, values))
        while len(self._pending) > _MOST_PENDING:
            self._pending.popleft()[0].wait()

    def _group_for(self, values: torch.Tensor, source: int, target: int) -> Any:
        return self.between_gpus.between(source, target) if self.between_gpus and values.is_cuda else self.group

    def _receive_all(self) -> None:
        try:
            if self.between_gpus is not None:
                torch.cuda.set_device(self.device)
                self._inbox = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            while not self._closed and self._receive_one() != STOP:
                pass
        except Exception as error:  # whatever breaks a connection is for the main thread to judge
            if not self._closed:
                self.broken = f"{type(error).__name__}: {error}"
                self._deliver(0, Message(BROKEN, -1, -1))

    def _receive_one(self) -> int:
        numbers = np.empty(_FRAME, dtype=np.int64)
        frame = torch.from_numpy(numbers)
        work = self.group.recv_anysource([frame], 0)
        work.wait(_FOREVER)  # a worker may be idle for long; dead peers are found by their silence
        began = time.perf_counter()
        header = numbers[:_HEADER].tolist()
        magic, kind, source, target, batch, chain, hop, position, due, busy_ns, code, *shape = header
        if magic != _MAGIC:
            raise ValueError("a message that is not of this program")
        values = self._values(frame, source, code, [n for n in shape if n > 0])
        message = Message(kind, source, target, batch, chain, hop, position, values)
        n_bytes = 0 if values is None else values.numel() * values.element_size()
        self._count_use(message, n_bytes, busy_ns / 1e9 or time.perf_counter() - began)
        self._deliver(due, message)
        return message.kind

    def _values(self, frame: torch.Tensor, source: int, code: int, shape: list[int]) -> torch.Tensor | None:
        if code < 0:
            return None
        dtype = _DTYPES[code % len(_DTYPES)]
        if code >= len(_DTYPES):
            n_bytes = math.prod(shape) * dtype.itemsize
            return frame[_HEADER:].view(torch.uint8)[:n_bytes].view(dtype).reshape(shape)
        if self.between_gpus is None or dtype == torch.int32:
            values = torch.empty(shape, dtype=dtype)
            self.group.recv([values], self.ranks[source], 1).wait(_FOREVER)
            return values
        # On a stream of its own: were the stages' stream to wait for tensors, a send queued there would too, and two
        # processes that send to each other could stop for ever. No time-out: with one, nccl polls each millisecond.
        with torch.cuda.stream(self._inbox):
            values = torch.empty(shape, dtype=dtype, device=self.device)
            self._group_for(values, self.ranks[source], self.rank).recv([values], self.ranks[source], 1).wait()
        self._inbox.synchronize()
        return values

    def _count_use(self, message: Message, n_bytes: int, busy_s: float) -> None:
        if message.kind in (WORK, TOKENS):
            use = self.use.setdefault((message.source, message.target), LinkUse())
            use.messages += 1
            use.n_bytes += n_bytes
            use.busy_s += busy_s

    def _deliver(self, due: int, message: Message) -> None:
        with self._ready:
            heapq.heappush(self._due, (due, next(self._count), message))
            self._ready.notify()


def _is_small(values: torch.Tensor) -> bool:
    return not values.is_cuda and 0 < values.numel() * values.element_size() <= _INLINE_BYTES


def _frame(message: Message, values: torch.Tensor | None, due: int, busy_s: float) -> torch.Tensor:
    """Return the numbers of a message and, behind them, the bytes of a small tensor (its dtype is counted on)."""
    shape = [] if values is None else list(values.shape)
    small = values is not None and _is_small(values)
    code = -1 if values is None else _DTYPES.index(values.dtype) + small * len(_DTYPES)
    fields = [_MAGIC, message.kind, message.source, message.target, message.batch, message.chain, message.hop]
    fields += [message.position, due, int(busy_s * 1e9), code, *shape]
    numbers = np.zeros(_FRAME, dtype=np.int64)  # numpy: every call of torch takes its time when caches are cold
    numbers[: len(fields)] = fields
    frame = torch.from_numpy(numbers)
    if values is not None and small:
        data = values.reshape(-1).view(torch.uint8)
        frame.view(torch.uint8)[8 * _HEADER : 8 * _HEADER + len(data)] = data
    return frame


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Message.__slots__}
