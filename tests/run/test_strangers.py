"""Strangers who reach the ports of a run cost it nothing: the text is the same."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

import psutil

from placement.run import Launch, run_plan
from tests.run.tiny_models import greedy, plan_by_hand, small_cluster, some_prompts

pytestmark = pytest.mark.slow

HUGE = struct.pack("<Q", 2**63) * 4
GREETINGS = (b"", b"GET / HTTP/1.1\r\n\r\n" * 20, b"\x00" * 7, HUGE, struct.pack("!i", 2**31 - 1))


def test_whoever_calls_at_every_port_changes_nothing(tiny_model: Callable[[str], Path]) -> None:
    """Nothing listens beyond loopback; rubbish, half frames and huge lengths at every port leave the tokens right."""
    pids: dict[str, int] = {}
    found: set[tuple[str, int]] = set()
    peers = contextlib.ExitStack()

    def call_everywhere(_: int) -> None:
        if found:
            return
        for pid in pids.values():
            for link in psutil.Process(pid).net_connections("inet"):
                if link.status == psutil.CONN_LISTEN:
                    found.add((link.laddr.ip, link.laddr.port))
        for address in sorted(found):
            for greeting in GREETINGS * 8:
                with contextlib.suppress(OSError):
                    peer = peers.enter_context(socket.create_connection(address, timeout=5.0))
                    peer.sendall(greeting)

    folder, prompts = tiny_model("llama"), some_prompts(2)
    plan = plan_by_hand(("a", 0, 2), ("b", 2, 4), ("c", 4, 6))
    with peers:
        result = run_plan(
            plan,
            folder,
            prompts,
            40,
            cluster=small_cluster(3, latency_s=0.01),
            emulate_links=True,
            launch=Launch(started=pids.update, progress=call_everywhere),
        )
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 40)
    assert len(found) > len(plan.placement)  # the store, and every process for the others
    assert {address for address, _ in found} == {"127.0.0.1"}
