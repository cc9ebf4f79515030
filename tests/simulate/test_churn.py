"""The swarm over time: equal seeds, counts that add up, spans never worse than Petals'."""

from __future__ import annotations

import numpy as np
import pytest

from placement.simulate.churn.balance import balanced, bottleneck, petals_balance
from placement.simulate.churn.rules import PetalsRule, Rule, WeighedRule, coverage, holders_of
from placement.simulate.churn.simulate import _serve, _State, simulate_day
from placement.simulate.churn.world import Event, drawn_world, life

HOURS = 2 * 3600.0


@pytest.mark.parametrize("rule", [PetalsRule(), WeighedRule()])
def test_a_day_adds_up_and_repeats(rule: Rule) -> None:
    """Served, broken and refused sessions are those that arrived; the same seed gives the same day."""
    world = drawn_world(1, servers=10, n_blocks=40)
    events = life(world, 1, HOURS)
    day = simulate_day(world, rule, events, seed=3, seconds=HOURS)
    assert day == simulate_day(world, rule, events, seed=3, seconds=HOURS)
    assert 0 < day.served <= day.arrived - day.broken
    assert 0 <= day.outage_s <= HOURS


def test_without_servers_nothing_is_served() -> None:
    """One server that is too short: an outage from beginning to end."""
    world = drawn_world(1, servers=2, n_blocks=80)
    day = simulate_day(world, WeighedRule(), (Event(0.0, 0, True),), seconds=HOURS)
    assert day.served == 0
    assert day.outage_s > 0.9 * HOURS


@pytest.mark.parametrize("seed", range(3))
def test_spans_are_never_worse_than_petals(seed: int) -> None:
    """Bottleneck throughput with equal spans, and again when spans may shrink."""
    rng = np.random.default_rng(seed)
    world = drawn_world(seed, servers=12)
    sizes = [size + 4 for size in world.sizes]
    petals = petals_balance(sizes, world.speeds, 80, rng)
    equal = balanced(sizes, world.speeds, 80, shrink=False, start=petals, rounds=3)
    shorter = balanced(sizes, world.speeds, 80, shrink=True, start=equal, rounds=3)
    assert petals.bottleneck <= equal.bottleneck <= shorter.bottleneck
    assert [b - a for a, b in equal.spans] == sizes
    assert shorter.bottleneck == pytest.approx(bottleneck(shorter.spans, world.speeds, 80))


def route_by_trying(state: _State, now: float) -> float:
    """Least seconds over every way to hand blocks on, server by server in the order of their spans."""
    world = state.world
    least = [0.0] + [np.inf] * world.n_blocks
    for j in sorted(state.serving(now), key=lambda j: state.spans[j]):
        start, stop = state.spans[j]
        enter = world.tokens * (world.rtt_s[0, world.sites[j]] + world.hop_s) + max(0.0, state.busy_s[j] - now)
        for before in range(start, stop):
            for after in range(before + 1, stop + 1):
                ahead = least[before] + enter + world.tokens * (after - before) / world.speeds[j]
                least[after] = min(least[after], float(ahead))
    return least[-1]


@pytest.mark.parametrize("seed", range(5))
def test_a_session_takes_the_fastest_route(seed: int) -> None:
    """The route that the day simulates takes as long as the best of all ways through the spans."""
    world, rng = drawn_world(seed, servers=12, n_blocks=24), np.random.default_rng(seed)
    state = _State(world)
    for j in range(12):
        start = int(rng.integers(0, 18))
        state.place(j, (start, start + int(rng.integers(6, 25 - start))), 0.0)
        state.ready_s[j], state.busy_s[j] = 0.0, float(rng.uniform(0.0, 40.0))
    state.spans[0] = (0, 12)
    expected = route_by_trying(state, 10.0)
    found = _serve(state, 10.0)
    assert (found is None) == (expected == np.inf)
    if found is not None:
        assert found[1] - found[0] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_window_beside_others_is_worth_what_the_swarm_is(seed: int) -> None:
    """The value of a move, from what the others hold, equals that of the whole swarm after it."""
    world, rule = drawn_world(seed, servers=6, n_blocks=20), WeighedRule()
    spans = {j: (j, j + 10) for j in range(6)}
    rest = coverage(world, spans, 2), holders_of(world, spans, 2)
    assert rule.with_window(world, 2, (5, 14), *rest) == pytest.approx(rule.value(world, {**spans, 2: (5, 14)}))
