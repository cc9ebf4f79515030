"""Capacities at which placements change: few where caches are tiny, and none is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from objectives.sessions import baselines
from objectives.sessions.baselines import all_servers, capacities, most_sessions, placements, sizes_for
from placement.readers.fleet import fleet_of
from placement.testing import fleet


@pytest.mark.parametrize("cache_gb", [0.3, 0.02, 0.0007])
def test_no_change_of_sizes_is_left_out(monkeypatch: pytest.MonkeyPatch, cache_gb: float) -> None:
    """Servers hold the same numbers of blocks between two capacities that are looked at, so placements are the same."""
    asked = fleet_of(fleet(cache_gb_per_block_job=cache_gb))
    every = [tuple(sizes_for(asked, c)) for c in range(1, most_sessions(asked) + 1)]
    expected = list(placements(asked, all_servers))
    monkeypatch.setattr(baselines, "EVERY_CAPACITY", 0)
    assert {tuple(sizes_for(asked, c)) for c in capacities(asked)} == set(every)
    assert list(placements(asked, all_servers)) == expected


def test_tiny_caches_are_no_long_loop() -> None:
    """A million sessions and more: as many capacities as servers have sizes, twice at most."""
    asked = fleet_of(fleet(cache_gb_per_block_job=0.3))
    tiny = replace(asked, cache_bytes=1_000)
    assert most_sessions(tiny) > 1_000_000
    assert len(capacities(tiny)) <= 2 * tiny.n_servers * tiny.n_blocks + 1
