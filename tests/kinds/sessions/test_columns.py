"""Chains and capacities of a placement by column generation."""

from __future__ import annotations

import pytest

from objectives.sessions.baselines import all_servers
from objectives.sessions.chains import Chain, Fleet, broken_rules, chain_seconds, greedy_chains, total_rate
from placement.kinds.sessions.bound import rate_bounds
from placement.kinds.sessions.columns import pack
from tests.sampled import some_quick

from .fleets import fleet


def best_packing(few: Fleet, spans: tuple[tuple[int, int], ...]) -> float:
    """Best rate over all whole capacities of all chains, by trying them."""
    free = tuple(int(few.slots[j, b - a]) for j, (a, b) in enumerate(spans))
    chains: list[Chain] = []

    def grow(servers: tuple[int, ...], stops: tuple[int, ...]) -> None:
        at = stops[-1] if stops else 0
        if at == few.n_blocks:
            chains.append(Chain(servers, stops, 1))
            return
        for j, (a, b) in enumerate(spans):
            if a <= at < b:
                grow((*servers, j), (*stops, b))

    grow((), ())

    def best(k: int, left: tuple[int, ...]) -> float:
        if k == len(chains):
            return 0.0
        chain, value, count = chains[k], 0.0, 0
        while min(left) >= 0:
            value = max(value, count / chain_seconds(few, chain) + best(k + 1, left))
            used = dict(zip(chain.servers, chain.blocks, strict=True))
            left = tuple(slots - used.get(j, 0) for j, slots in enumerate(left))
            count += 1
        return value

    return best(0, free)


@pytest.mark.parametrize("seed", some_quick(range(6), 2))
def test_packing_lies_between_greedy_and_its_relaxation(seed: int) -> None:
    """Column generation: greedy <= packed <= best of all <= relaxation <= bound over all placements."""
    few = fleet(seed, servers=4, blocks=4)
    spans = all_servers(few, 3)
    packing = pack(few, spans)
    assert not broken_rules(few, packing.plan)
    greedy = total_rate(few, greedy_chains(few, spans))
    exact = best_packing(few, spans) if packing.plan.chains else 0.0
    assert greedy - 1e-9 <= packing.rate <= exact + 1e-9
    assert exact <= packing.relaxation + 1e-6
    *_, proven = rate_bounds(few)
    assert packing.relaxation <= proven.rate + 1e-6
