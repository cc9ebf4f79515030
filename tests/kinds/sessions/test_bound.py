"""Bounds over all placements, against all placements of tiny fleets."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, product

import pytest

from objectives.sessions.chains import chain_seconds, greedy_chains, response_bounds, total_rate
from placement.kinds.sessions import bound
from placement.kinds.sessions.columns import pack

from .fleets import fleet

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(3))
def test_bound_holds_for_every_placement(seed: int) -> None:
    """No placement of a tiny fleet serves more than the bound, by trying them all; bounds only tighten."""
    few = fleet(seed, servers=3, blocks=4)
    ranges = [(a, b) for a in range(4) for b in range(a + 1, 5)]
    spans = [[r for r in ranges if few.slots[j, r[1] - r[0]] > 0] for j in range(3)]
    best = max(total_rate(few, pack(few, combination).plan.chains) for combination in product(*spans))
    rates = [proven.rate for proven in bound.rate_bounds(few)]
    assert best <= min(rates) + 1e-9
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("load", [0.2, 0.6, 0.9])
def test_response_bound_holds_for_every_placement(seed: int, load: float) -> None:
    """No placement of a tiny fleet gets below it, even by its own lower bound; bounds only tighten."""
    few = fleet(seed, servers=3, blocks=4)
    ranges = [(a, b) for a in range(4) for b in range(a + 1, 5)]
    spans = [[r for r in ranges if few.slots[j, r[1] - r[0]] > 0] for j in range(3)]
    plans = [greedy_chains(few, combination) for combination in product(*spans)]
    few = replace(few, arrivals_per_s=load * max(total_rate(few, chains) for chains in plans))
    lower = min(
        response_bounds([chain_seconds(few, c) for c in chains], [c.capacity for c in chains], few.arrivals_per_s)[0]
        for chains in plans
        if chains
    )
    bounds = [proven.response_s for proven in bound.response_bounds(few)]
    assert bounds[0] > 0
    assert bounds == sorted(bounds)
    assert bounds[-1] <= lower + 1e-9


def test_few_states_make_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the numbers of sessions are too many to be told apart, the bound is weaker and still one."""
    few = fleet(1, servers=3, blocks=4, arrivals=0.5)
    *_, exact = bound.response_bounds(few)
    monkeypatch.setattr(bound, "MOST_STATES", 1)
    *_, weak = bound.response_bounds(few)
    assert 0 < weak.response_s <= exact.response_s


def test_a_round_is_a_step() -> None:
    """The first bound takes no cuts, and the search may stop after any."""
    first = next(iter(bound.rate_bounds(fleet(0))))
    *_, last = islice(bound.rate_bounds(fleet(0)), 3)
    assert last.rate <= first.rate < float("inf")
