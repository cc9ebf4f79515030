"""Starts whose chains run through stages of several servers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.sessions.chains import free_slots
from placement.kinds.sessions.stages import stage_starts, staged

from .fleets import fleet


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_stages_keep_room_for_their_sessions(seed: int) -> None:
    """A stage's servers together hold the sessions that it is for, and its lines cover all blocks."""
    few = fleet(seed, servers=9)
    for (pairs, triples, _), rows in stage_starts(few):
        assert 2 * pairs + 3 * triples <= few.n_servers
        for spans in rows:
            assert min(free_slots(few, spans)) >= 0
            assert {block for a, b in spans for block in range(a, b)} == set(range(few.n_blocks))
    line = staged(few, 2, 3, 1)
    if line is not None:
        stages = [span for span in set(line) if span[1] > 0]
        for start, stop in stages:
            size = stop - start
            members = [j for j, span in enumerate(line) if span == (start, stop)]
            assert sum(int(few.slots[j, size]) // size for j in members) >= 2
