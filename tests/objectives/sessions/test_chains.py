"""Chains with reserved caches: rules kept, bounds over values, hand-computed cases."""

from __future__ import annotations

import pytest

from objectives.petals.rules import joined
from objectives.sessions.baselines import all_servers, conservative_greedy, gbp_cr, petals_greedy
from objectives.sessions.chains import Composition, broken_rules, greedy_chains, response_bounds
from tests.kinds.sessions.fleets import fleet


@pytest.mark.parametrize("rule", [all_servers, gbp_cr, conservative_greedy, petals_greedy])
@pytest.mark.parametrize("seed", range(4))
def test_rules_are_kept(rule: object, seed: int) -> None:
    """Chains cover all blocks in order within memory, with whole capacities, whoever places."""
    few = fleet(seed)
    for sessions in (1, 2, 5):
        spans = rule(few, sessions)  # type: ignore[operator]
        assert not broken_rules(few, Composition(spans, greedy_chains(few, spans)))


def test_one_chain_is_an_erlang_queue() -> None:
    """With one slot both bounds are the M/M/1 response time 1 / (mu - lambda)."""
    assert response_bounds([0.5], [1], 1.0) == pytest.approx((1.0, 1.0))


def test_petals_fills_the_emptiest_window() -> None:
    """Joining servers take the window with the least sorted throughputs, the first of equal ones."""
    assert joined([2, 2, 3], [1.0, 2.0, 1.0], 5) == ((0, 2), (2, 4), (2, 5))
