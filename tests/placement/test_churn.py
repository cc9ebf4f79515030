"""The swarm over time: equal seeds, counts that add up, spans never worse than Petals'."""

from __future__ import annotations

import numpy as np
import pytest

from placement.churn.balance import balanced, bottleneck, petals_balance
from placement.churn.rules import PetalsRule, Rule, WeighedRule
from placement.churn.simulate import simulate_day
from placement.churn.world import Event, drawn_world, life

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
