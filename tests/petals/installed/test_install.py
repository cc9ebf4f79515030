"""`install()` on the real package: what is replaced, what comes back, and what a lacking name says."""

from __future__ import annotations

from typing import Any

import pytest

from placement import PlacementError
from placement.petals import install

from .test_equal import announcements, drawn, infos, peers

pytestmark = [pytest.mark.petals, pytest.mark.usefixtures("shim")]


def test_client_parts_come_and_go() -> None:
    """A subclass of Petals' manager; afterwards everything is as before."""
    from petals.client import inference_session, remote_sequential
    from petals.client.routing.sequence_manager import RemoteSequenceManager

    session = inference_session.InferenceSession
    before = (session.step, session.close, session._update_sequence, inference_session._ServerInferenceSession.step)
    put = install(replay=True)
    assert put.version
    assert remote_sequential.RemoteSequenceManager is not RemoteSequenceManager
    assert issubclass(remote_sequential.RemoteSequenceManager, RemoteSequenceManager)
    assert session.step is not before[0]
    put.undo()
    assert remote_sequential.RemoteSequenceManager is RemoteSequenceManager
    assert before == (
        session.step,
        session.close,
        session._update_sequence,
        inference_session._ServerInferenceSession.step,
    )


@pytest.mark.parametrize("seed", range(12))
def test_servers_choose_by_our_rules(seed: int) -> None:
    """Blocks in a row, as many as allowed at most; a server that moves goes to other blocks than it has."""
    from petals.server import block_selection

    n_blocks, spans, speeds = drawn(seed)
    ids = peers(len(spans))
    put = install(client=False, server=True)
    try:
        state = infos(n_blocks, spans, announcements(spans, speeds), ids)
        found = block_selection.choose_best_blocks(max(1, n_blocks // 3), state)
        assert found == list(range(found[0], found[0] + len(found)))
        assert 0 <= found[0] <= found[-1] < n_blocks
        assert len(found) <= max(1, n_blocks // 3)
        movers = [j for j in range(len(spans)) if block_selection.should_choose_other_blocks(ids[j], state, 0.75)]
        assert len(movers) <= 1  # all compute the same move, and it is one server's
        assert put.rules is not None
        if movers:
            chosen = block_selection.choose_best_blocks(spans[movers[0]][1] - spans[movers[0]][0], state)
            assert (chosen[0], chosen[-1] + 1) != spans[movers[0]]
    finally:
        put.undo()
    assert block_selection.choose_best_blocks.__module__ == "petals.server.block_selection"


@pytest.mark.parametrize(
    ("words", "home", "name"),
    [
        ({}, "petals.client.inference_session", "InferenceSession"),
        ({"client": False, "server": True}, "petals.server.block_selection", "should_choose_other_blocks"),
    ],
)
def test_a_lacking_name_is_named(words: Any, home: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the version, and nothing was replaced."""
    import importlib

    import petals
    from petals.client import remote_sequential

    monkeypatch.delattr(importlib.import_module(home), name)
    before = remote_sequential.RemoteSequenceManager
    with pytest.raises(PlacementError, match=f"Petals {petals.__version__} has no {home}.{name}") as caught:
        install(**words)
    assert "\n" not in str(caught.value)
    assert remote_sequential.RemoteSequenceManager is before
