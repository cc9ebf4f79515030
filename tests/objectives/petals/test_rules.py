"""Petals' rules on cases worked out by hand; `tests/petals/installed` holds them equal to the installed package."""

from __future__ import annotations

import math

import numpy as np
import pytest

from objectives.petals.routing import CLIENT, Seen, petals_route
from objectives.petals.rules import (
    GIB,
    announced,
    best_start,
    block_size,
    by_first_block,
    cache_size,
    joined,
    most_blocks,
    settle,
    throughputs,
    verdict,
)


def still(_: list[int]) -> None:
    """Bring nothing into another order."""


def test_the_weakest_window_wins_and_the_first_among_equals() -> None:
    """Windows are compared by their sorted throughputs."""
    assert best_start(np.array([3.0, 1.0, 2.0, 1.0]), 2) == 1  # (1, 2) at 1 and 2; (1, 3) at 0
    assert best_start(np.zeros(5), 3) == 0
    assert best_start(np.array([1.0, 1.0, 0.0]), 1) == 2


def test_servers_that_join_fill_what_is_weak() -> None:
    """Two halves, then the weaker half again."""
    assert joined([2, 2, 2, 0], [5.0, 3.0, 1.0, 9.0], 4) == ((0, 2), (2, 4), (2, 4), (0, 0))


def test_a_server_moves_when_the_swarm_gains_a_third() -> None:
    """Three on the first half and one on the second: the bottleneck is 1; after one has moved, 2."""
    spans = [(0, 2), (0, 2), (0, 2), (2, 4)]
    found = verdict(spans, [1.0] * 4, 0, 4, still)
    assert (found.moves, found.start) == (True, 2)
    assert found.quality == pytest.approx(0.5)
    assert not verdict(spans, [1.0] * 4, 0, 4, still, balance_quality=0.4).moves
    assert verdict(spans, [1.0] * 4, 3, 4, still, balance_quality=1.1).moves  # asks for it


def test_a_server_that_alone_holds_a_block_stays() -> None:
    """The swarm would be broken."""
    assert not verdict([(0, 2), (2, 4), (2, 4)], [1.0, 9.0, 9.0], 0, 4, still).moves


def test_everybody_settles() -> None:
    """All on one block: they spread out, and the sums are those of the new spans."""
    spans, speeds = [(0, 1)] * 3, [3.0, 2.0, 1.0]
    total = throughputs(spans, speeds, 3)
    settle(spans, total, speeds, still, by_first_block(spans))
    assert sorted(spans) == [(0, 1), (1, 2), (2, 3)]
    assert total == pytest.approx(throughputs(spans, speeds, 3), abs=0.01)


def test_span_lengths_of_a_70b_model() -> None:
    """80 GiB, hidden size 8192, nf4: 8.556e8 weights a block with 1% and 4.25 bits, 16384 tokens of grouped cache."""
    block, cache = block_size(855_654_400, 2, "nf4"), cache_size(8192, 8, 2)
    assert block == round(855_654_400 * 4.25 / 8 * 1.01)
    assert cache == 2 * 8192 * 16384 // 8 * 2
    free = 80 * GIB - 2 * GIB / 14336 * 8192
    assert most_blocks(80 * GIB, 8192, block, cache) == math.floor(free / (block + cache))
    assert most_blocks(80 * GIB, 8192, block, cache, n_blocks=80) == 80
    assert most_blocks(1 * GIB, 8192, block, cache) == 0
    assert cache_size(4096, 1, 2) == 2 * 4096 * 4096 * 2


def test_announced_throughput() -> None:
    """A request uses (n + 1) / 2 of n blocks on average; a relay leaves a fifth of the network."""
    assert announced(100.0, 30.0, 9) == 20.0
    assert announced(100.0, 15.0, 9) == 15.0
    assert announced(100.0, 30.0, 9, relayed=True) == 6.0


def test_the_cheapest_chain_is_left_at_ends_only() -> None:
    """Server 0 holds all but the last block; the way into the fast server 1 in its middle does not exist for Petals."""
    seen = Seen([(0, 3), (1, 4), (3, 4)], [100.0, 1e6, 100.0], {(CLIENT, j): 0.02 for j in range(3)} | {(0, 1): 0.002})
    cost, stages = petals_route(seen, 0, 4)
    assert stages == ((0, 0, 3), (1, 3, 4))
    assert cost == pytest.approx(0.01 + 0.018 + 0.03 + 0.001 + 0.018 + 1e-6 + 0.01)


def test_unknown_and_full_servers_cost_what_petals_says() -> None:
    """150 ms for an unknown way, ten seconds for a cache too small for the whole span, 300 blocks/s by default."""
    unknown = Seen([(0, 2)], [None])
    assert petals_route(unknown, 0, 2)[0] == pytest.approx(0.15 + 0.018 + 2 / 300 + 0.15)
    full = Seen([(0, 2)], [None], {(CLIENT, 0): 0.0}, [39])
    assert petals_route(full, 0, 1, tokens=10)[0] == pytest.approx(0.018 + 10 + 1 / 300)
    assert petals_route(full, 0, 1, tokens=9)[0] == pytest.approx(0.018 + 1 / 300)
    assert petals_route(unknown, 0, 3) == (math.inf, ())
