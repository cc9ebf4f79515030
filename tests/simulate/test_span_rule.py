"""The rule for spans that simulated days and live servers run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from objectives.sessions.chains import Fleet, chain_seconds, fastest_chain
from objectives.spans import count_holders
from placement.simulate.churn.day import ChurningSwarm, SwarmState
from placement.simulate.churn.span_rule import SpanRule, sessions
from placement.simulate.churn.swarm_rules import FastestFreeChain, SteadySpanRule, uses_of


def fleet(seed: int = 0, servers: int = 9, n_blocks: int = 28) -> Fleet:
    """Servers of 8 to 40 GB, blocks of 1 GB."""
    rng = np.random.default_rng(seed)
    return Fleet(
        tuple(f"s{j}" for j in range(servers)),
        rng.integers(8, 40, servers) * 1_000_000_000,
        rng.uniform(20.0, 80.0, servers),
        rng.uniform(2.0, 9.0, servers),
        n_blocks,
        1_000_000_000,
        100_000_000,
        0.02,
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_compiled_fastest_chain_is_the_plain_one(seed: int) -> None:
    """With any slots free, also after others were asked for."""
    rng, one = np.random.default_rng(seed), fleet(seed)
    compiled = FastestFreeChain(one)
    for _ in range(5):
        spans = {}
        for j in range(one.n_servers):
            size = int(rng.integers(1, one.most_blocks[j] + 1))
            start = int(rng.integers(0, one.n_blocks - min(size, one.n_blocks) + 1))
            spans[j] = (start, min(start + size, one.n_blocks))
        free = rng.integers(0, 40, one.n_servers).tolist()
        plain = fastest_chain(one, [spans[j] for j in range(one.n_servers)], free)
        found = compiled.chain(spans, free)
        assert (found is None) == (plain is None)
        if found is not None and plain is not None:
            assert found[0] == pytest.approx(chain_seconds(one, plain))
            assert found[1] == uses_of(plain)


def test_spans_keep_room_and_end_at_cuts() -> None:
    """Of the least sessions; a server of a given size takes windows of that size only."""
    rule, one = SpanRule(parts=7), fleet()
    for j in range(one.n_servers):
        options = rule.options(one, j)
        assert len(options)
        assert (options % 4 == 0).all()
        room = sessions(one, j, options)
        assert (room >= 1).all()
        cuts = range(0, one.n_blocks + 1, 4)
        every = sessions(one, j, np.array([(a, b) for a in cuts for b in cuts if a < b]))
        inside = (every >= rule.least) & (every <= rule.most)
        assert len(options) == (inside.sum() if inside.any() else (every >= 1).sum())
    assert (rule.options(one, 0, 5)[:, 1] - rule.options(one, 0, 5)[:, 0] == 5).all()


@pytest.mark.parametrize("seed", range(6))
def test_servers_that_come_make_the_swarm_whole_and_even(seed: int) -> None:
    """No block has less than a third of the mean room, and a move that is then worth it betters both values."""
    rule, one = SpanRule(parts=7), fleet(seed, servers=16)
    spans: dict[int, tuple[int, int]] = {}
    for j in range(one.n_servers):
        spans[j] = rule.join(one, spans, j)
    assert count_holders(one.n_blocks, spans.values()).all()
    room = np.zeros(one.n_blocks)
    for j, (start, stop) in spans.items():
        room[start:stop] += sessions(one, j, np.array([[start, stop]]))
    assert room.min() > room.mean() / 3
    assert replace(rule, worth=50.0).move(one, spans) is None


def test_a_hole_is_mended_once_it_has_lasted() -> None:
    """Not at the first look; by one move, to what nobody holds."""
    one = fleet(servers=6)
    state = SwarmState(ChurningSwarm(one, np.full((7, 7), 0.02), 1000), free=[0] * 6)
    state.spans = dict.fromkeys(range(6), (0, 14))
    state.ready_s = dict.fromkeys(range(6), 0.0)
    rule, rng = SteadySpanRule(), np.random.default_rng(0)
    assert rule.review(state, rng) == {}
    state.now = 600.0
    moves = rule.review(state, rng)
    assert len(moves) == 1
    assert next(iter(moves.values()))[1] > 14
    state.ready_s[0] = 1e9
    state.now = 1e6
    assert rule.review(state, rng) == {}, "somebody is loading"
