"""A day of a swarm: equal seeds, counts that add up, sessions that break and wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.sessions.chains import Fleet
from placement.simulate.churn.day import ChurningSwarm, SwarmRule, simulate_day
from placement.simulate.churn.lifetimes import Event, drawn_events
from placement.simulate.churn.swarm_rules import ComposedChainsRule, PetalsRule, SteadySpanRule


@given(st.integers(1, 30), st.floats(0.02, 1e3), st.floats(0.02, 1e3), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_servers_come_and_go_in_turn(servers: int, life_s: float, gap_s: float, seed: int) -> None:
    """In order of time, within the run; each server comes first, and then goes and comes alternately."""
    events = drawn_events(servers, life_s, gap_s, seed=seed, seconds=5.0)
    assert events == drawn_events(servers, life_s, gap_s, seed=seed, seconds=5.0)
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)
    assert all(0.0 <= event.at_s < 5.0 for event in events)
    for j in range(servers):
        turns = [event.joins for event in events if event.server == j]
        assert turns == [k % 2 == 0 for k in range(len(turns))]


def test_a_server_is_there_with_its_share_of_the_time() -> None:
    """At the beginning as later: life over life and gap, within five standard deviations of 4000 draws."""
    first = sum(event.at_s < 4.0 and event.joins for event in drawn_events(4000, 3.0e6, 1.0e6, seed=5, seconds=10.0))
    assert abs(first - 3000) < 5 * np.sqrt(4000 * 0.75 * 0.25)


def swarm(servers: int = 6) -> ChurningSwarm:
    """Alike servers that hold half of a model of ten blocks; ten sessions an hour and server."""
    fleet = Fleet(
        tuple(f"s{j}" for j in range(servers)),
        np.full(servers, 8_000_000_000),
        np.full(servers, 40.0),
        np.full(servers, 10.0),
        10,
        1_000_000_000,
        100_000_000,
        servers / 360.0,
    )
    rtt = np.full((servers + 1, servers + 1), 0.02)
    return ChurningSwarm(fleet, rtt, 1000)


RULES: list[Any] = [PetalsRule, ComposedChainsRule, SteadySpanRule]


@pytest.mark.parametrize("make", RULES)
def test_a_day_with_caches_adds_up_and_repeats(make: type[SwarmRule]) -> None:
    """The same seed gives the same day; who is served needs at least the bare time of two hops."""
    events = (*tuple(Event(0.001 * j, j, True) for j in range(6)), Event(3000.0, 2, False), Event(5000.0, 2, True))
    day = simulate_day(swarm(), make(), events, seed=1, seconds=4 * 3600.0)
    assert day == simulate_day(swarm(), make(), events, seed=1, seconds=4 * 3600.0)
    assert 0 < day.served <= day.arrived - day.gave_up
    assert day.mean_s < day.p95_s
    assert 0 < day.outage_s < 3600.0


@pytest.mark.parametrize("make", RULES)
def test_a_lost_server_breaks_its_sessions(make: type[SwarmRule]) -> None:
    """Two servers, both needed; one goes for good: nobody is served from then on."""
    events = (Event(0.0, 0, True), Event(0.001, 1, True), Event(3600.0, 1, False))
    two = swarm(2)
    day = simulate_day(two, make(), events, seed=2, seconds=2 * 3600.0)
    assert day.outage_s >= 3600.0
    assert day.served < day.arrived


def test_patience_is_for_waiting() -> None:
    """A session of hours that breaks waits out a gap shorter than its patience; it does not give up for its age."""
    slow = swarm(2)
    slow = replace(slow, fleet=replace(slow.fleet, block_s=np.full(2, 1000.0), arrivals_per_s=1 / 2000.0))
    gap = (Event(5000.0, 1, False), Event(5300.0, 1, True))
    day = simulate_day(
        slow, ComposedChainsRule(), (Event(0.0, 0, True), Event(0.001, 1, True), *gap), seed=1, seconds=9000.0
    )
    assert day.broken > 0
    assert day.gave_up == 0


def test_petals_takes_what_petals_takes() -> None:
    """8 GB less 2 GiB of 14336, over 1 GB and two caches of 0.1 GB: four blocks, at the weakest place."""
    rule, events = PetalsRule(), (Event(0.0, 0, True), Event(0.001, 1, True))
    assert rule.size(swarm(), 0) == 4
    day = simulate_day(swarm(2), rule, events, seconds=1800.0)
    assert day.served == 0  # eight of ten blocks are held
