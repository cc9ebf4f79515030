"""Chains that are alike, and which of several chains are worth joining."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.sessions.chains import Fleet, chain_seconds, fastest_kept, free_slots, greedy_chains, response_bounds
from placement.kinds.sessions.alike import Line, combinations, lines, types_of, waiting_s
from placement.kinds.sessions.solvers.pace import finished


def of_types(seed: int, types: int = 2, servers: int = 8, blocks: int = 12) -> Fleet:
    """Servers of a few types; those of a type come by equally fast."""
    rng = np.random.default_rng(seed)
    kind = np.sort(rng.integers(0, types, servers))
    kind[:types] = np.arange(types)
    memory = rng.integers(600, 1600, types)[kind]
    session, block = rng.uniform(0.05, 0.5, types)[kind], rng.uniform(0.02, 0.3, types)[kind]
    names = tuple(f"s{j}" for j in range(servers))
    return Fleet(names, memory.astype(np.int64), session, block, blocks, 100, 10, float(rng.uniform(0.2, 3.0)))


@given(st.integers(0, 10_000), st.integers(1, 3), st.booleans())
@settings(max_examples=15, deadline=None)
def test_lines_hold_the_model_within_memory(seed: int, types: int, response: bool) -> None:
    """Every placement has a chain, and no server holds more than it can."""
    fleet = of_types(seed, types)
    for spans in finished(lines(fleet, response=response)):
        assert min(free_slots(fleet, spans)) >= 0
        assert greedy_chains(fleet, spans)


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_combination_is_as_fast_as_it_says(seed: int, sessions: int) -> None:
    """The fastest chain of what is built takes no longer, and as many sessions as the stages keep room for."""
    fleet = of_types(seed)
    line = Line(fleet, types_of(fleet), sessions, combinations(2))
    for k in np.argsort(line.seconds)[:5]:
        spans = line.built(line.counts[k])
        chains = greedy_chains(fleet, spans)
        assert chain_seconds(fleet, chains[0]) <= line.seconds[k] + 1e-9
        assert sum(chain.capacity for chain in chains) >= sessions


def test_many_types_have_no_lines() -> None:
    """Then nothing is enumerated."""
    assert finished(lines(of_types(0, types=4), response=True)) == []


def test_types_are_told_apart_by_speed_and_memory() -> None:
    """The fastest first, their servers by the time of a session."""
    fleet = Fleet(
        tuple("abcd"),
        np.array([9, 5, 9, 5]) * 100,
        np.array([0.4, 0.1, 0.2, 0.3]),
        np.array([0.1, 0.5, 0.1, 0.5]),
        4,
        100,
        10,
        1.0,
    )
    assert [own.tolist() for own in types_of(fleet).members] == [[2, 0], [1, 3]]


@given(st.floats(0.1, 20.0), st.integers(1, 200), st.floats(0.05, 0.95))
def test_equal_slots_wait_about_as_a_birth_death_process(seconds: float, slots: int, load: float) -> None:
    """With equal chains both bounds are the truth; the formula is within 3% of it, and exact for one slot."""
    arrivals = load * slots / seconds
    truth = response_bounds([seconds], [slots], arrivals)
    found = waiting_s(np.array([seconds]), np.array([slots]), arrivals)[0]
    assert truth[0] == pytest.approx(truth[1], rel=1e-9)
    assert found == pytest.approx(truth[0], rel=0.03 if slots > 1 else 1e-9)


def test_too_few_slots_wait_for_ever() -> None:
    """Beside others that do not."""
    assert np.isinf(waiting_s(np.array([2.0, 2.0]), np.array([1, 9]), 1.0)).tolist() == [True, False]


def test_a_slow_chain_is_left_out() -> None:
    """Two fast slots carry the arrivals; one that takes fifty times as long draws sessions that had better wait."""
    kept, mixed = fastest_kept([1.0, 50.0], [2, 1], 1.0, 0.3)
    assert kept == 1
    assert mixed == pytest.approx(response_bounds([1.0], [2], 1.0)[0])
    assert fastest_kept([1.0, 1.1], [2, 1], 1.0, 0.3)[0] == 2
    assert fastest_kept([1.0, 50.0], [2, 1], 2.01, 0.3)[0] == 2  # the arrivals need it


@given(st.lists(st.tuples(st.floats(0.5, 20.0), st.integers(1, 4)), min_size=1, max_size=5), st.floats(0.05, 1.5))
def test_what_is_kept_is_the_best_of_the_fastest(chains: list[tuple[float, int]], load: float) -> None:
    """Every number of chains that carries the arrivals, by hand."""
    seconds, capacities = zip(*sorted(chains), strict=True)
    rate = sum(c / s for s, c in zip(seconds, capacities, strict=True))
    arrivals = load * rate
    kept, mixed = fastest_kept(seconds, capacities, arrivals, 0.3)
    assert 1 <= kept <= len(seconds)
    if load >= 1.0:
        assert kept == len(seconds)
        return
    for k in range(1, len(seconds) + 1):
        lower, upper = response_bounds(seconds[:k], capacities[:k], arrivals)
        if sum(c / s for s, c in zip(seconds[:k], capacities[:k], strict=True)) * 0.99 > arrivals:
            assert mixed <= 0.7 * lower + 0.3 * upper + 1e-9
