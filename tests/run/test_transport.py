"""Messages between processes: what is sent is what comes, small tensors in the frame and large ones after it."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from placement.run.device_groups import DeviceGroups
from placement.run.transport import WORK, Message, Transport


class _Done:
    def wait(self, *_: Any) -> None:
        """Nothing to wait for."""


class _Coming:
    def __init__(self, box: queue.Queue[Any], target: Any) -> None:
        self.box, self.target = box, target

    def wait(self, *_: Any) -> None:
        """Block until a tensor of the same size is there, as the real group does."""
        self.target.copy_(self.box.get(timeout=20))


class _Wire:
    """Both ends of a process group: what is sent under a tag is received under it."""

    def __init__(self) -> None:
        self.boxes: dict[int, queue.Queue[Any]] = {0: queue.Queue(), 1: queue.Queue()}
        self.sent: list[int] = []

    def send(self, tensors: list[Any], _rank: int, tag: int) -> _Done:
        self.sent.append(tag)
        self.boxes[tag].put(tensors[0].clone())
        return _Done()

    def recv_anysource(self, tensors: list[Any], tag: int) -> _Coming:
        return _Coming(self.boxes[tag], tensors[0])

    def recv(self, tensors: list[Any], _rank: int, tag: int) -> _Coming:
        return _Coming(self.boxes[tag], tensors[0])


@pytest.fixture(scope="module")
def ends() -> tuple[Transport, Transport, _Wire]:
    """A sender, which knows of nobody else until it is built and so receives nothing, and a receiver."""
    wire = _Wire()
    sender = Transport(wire, [0], 0)
    sender.ranks = [0, 1]
    return sender, Transport(wire, [0, 1], 1), wire


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 700)),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.float64]),
    numbers=st.tuples(*[st.integers(0, 2**40)] * 4),
    turned=st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_a_message_arrives_as_it_was_sent(
    ends: tuple[Transport, Transport, _Wire],
    shape: tuple[int, ...],
    dtype: Any,
    numbers: tuple[int, int, int, int],
    turned: bool,
) -> None:
    """Same numbers, same values, same type and shape; one message up to 4 KiB, two above."""
    sender, receiver, wire = ends
    wire.sent.clear()
    values = (torch.rand(shape) * 1000).to(dtype)
    values = values.transpose(0, 2) if turned else values
    batch, chain, hop, position = numbers
    sender.send(Message(WORK, 0, 1, batch, chain, hop, position, values))
    got = receiver.receive(20)
    assert got is not None
    assert (got.kind, got.source, got.target) == (WORK, 0, 1)
    assert (got.batch, got.chain, got.hop, got.position) == numbers
    assert got.values is not None
    assert got.values.dtype == dtype
    assert torch.equal(got.values, values)
    assert wire.sent == ([0] if values.numel() * values.element_size() <= 4096 else [0, 1])


def test_a_message_without_a_tensor(ends: tuple[Transport, Transport, _Wire]) -> None:
    """Only the numbers."""
    sender, receiver, _ = ends
    threading.Timer(0.0, sender.send, (Message(WORK, 0, 1, 7),)).start()
    got = receiver.receive(20)
    assert got is not None
    assert got.batch == 7
    assert got.values is None


def test_each_direction_between_gpus_has_a_group_of_its_own() -> None:
    """Both in one would share a stream, on which a receive may stand before the send that the other side waits for."""
    groups = DeviceGroups("up", "down")
    assert (groups.between(0, 2), groups.between(2, 0), groups.between(1, 2)) == ("up", "down", "up")


def test_communicators_are_made_in_the_same_order_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rank takes part in its own pairs, all in one order: nobody waits in a circle."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    done: dict[int, list[tuple[str, int]]] = {}

    class Group:
        def __init__(self, rank: int) -> None:
            self.calls = done.setdefault(rank, [])

        def send(self, _: Any, target: int, _tag: int) -> _Done:
            self.calls.append(("to", target))
            return _Done()

        def recv(self, _: Any, source: int, _tag: int) -> _Done:
            self.calls.append(("from", source))
            return _Done()

    pairs = {(1, 0), (0, 1), (1, 2)}
    for rank in range(3):
        DeviceGroups(Group(rank), Group(rank)).meet(rank, pairs, "cpu")
    assert done == {0: [("to", 1), ("from", 1)], 1: [("from", 0), ("to", 0), ("to", 2)], 2: [("from", 1)]}
