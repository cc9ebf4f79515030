"""Chains with reserved caches: rules kept, bounds over values, twins equal, hand-computed cases."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.petals.rules import joined
from objectives.sessions.baselines import all_servers, best_rate, conservative_greedy, gbp_cr, petals_greedy
from objectives.sessions.chains import (
    Chain,
    Composition,
    Fleet,
    broken_rules,
    chain_seconds,
    free_slots,
    greedy_chains,
    response_bounds,
    total_rate,
)
from placement.cli import run
from placement.errors import InfeasibleError, InputError
from placement.kinds.sessions.bound import rate_bound, response_bound
from placement.kinds.sessions.columns import pack
from placement.kinds.sessions.problem import SessionsProblem
from placement.kinds.sessions.solve import solve_chains
from placement.kinds.sessions.stages import stage_starts, staged
from placement.readers.fleet import fleet_of
from placement.simulate.sessions import responses, simulate, traffic


def fleet(seed: int, servers: int = 5, blocks: int = 8, arrivals: float = 0.2) -> Fleet:
    """A small random fleet that can hold its model several times."""
    rng = np.random.default_rng(seed)
    memory = rng.integers(4, 14, servers) * 1000 + 600
    return Fleet(
        tuple(f"s{j}" for j in range(servers)), memory.astype(np.int64), rng.uniform(0.1, 1.0, servers),
        rng.uniform(0.1, 1.0, servers), blocks, 1000, 100, arrivals,
    )  # fmt: skip


def document(**changes: object) -> dict[str, object]:
    """A file of two servers."""
    server = {"memory_gb": 20.0, "tau_c_s": 0.3, "tau_p_s": 0.1}
    data: dict[str, object] = {
        "num_blocks": 12, "block_gb": 1.0, "cache_gb_per_block_job": 0.1, "lambda_per_s": 0.05,
        "servers": [{"id": "a", **server}, {"id": "b", **server}],
    }  # fmt: skip
    return data | changes


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_kernel_equals_reference(seed: int) -> None:
    """The compiled greedy chains score like the plain ones, for both objectives."""
    rng = np.random.default_rng(seed)
    for response in (False, True):
        problem = SessionsProblem(fleet(seed), response=response)
        for genome in problem.random(rng, 4):
            cost, broken = problem.evaluate(genome[None, :])
            score = problem.score(problem.decode(genome))
            assert cost[0] == pytest.approx(score.cost, rel=1e-9) or (broken[0] >= 1 and score.violation >= 1)
            assert broken[0] == pytest.approx(score.violation, rel=1e-9) or score.violation >= 1


@pytest.mark.parametrize("rule", [all_servers, gbp_cr, conservative_greedy, petals_greedy])
@pytest.mark.parametrize("seed", range(4))
def test_rules_are_kept(rule: object, seed: int) -> None:
    """Chains cover all blocks in order within memory, with whole capacities, whoever places."""
    few = fleet(seed)
    for sessions in (1, 2, 5):
        spans = rule(few, sessions)  # type: ignore[operator]
        assert not broken_rules(few, Composition(spans, greedy_chains(few, spans)))


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


@pytest.mark.parametrize("seed", range(6))
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
    assert packing.relaxation <= rate_bound(few).rate + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_bound_holds_for_every_placement(seed: int) -> None:
    """No placement of a tiny fleet serves more than the bound, by trying them all; early bounds hold too."""
    few = fleet(seed, servers=3, blocks=4)
    ranges = [(a, b) for a in range(4) for b in range(a + 1, 5)]
    spans = [[r for r in ranges if few.slots[j, r[1] - r[0]] > 0] for j in range(3)]
    best = max(total_rate(few, pack(few, combination).plan.chains) for combination in product(*spans))
    for rounds in (0, 1, 5, 400):
        assert best <= rate_bound(few, rounds=rounds).rate + 1e-9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("load", [0.2, 0.6, 0.9])
def test_response_bound_holds_for_every_placement(seed: int, load: float) -> None:
    """No placement of a tiny fleet gets below it, even by its own lower bound; early bounds hold too."""
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
    bounds = [response_bound(few, rounds=rounds)[0] for rounds in (0, 2, 60)]
    assert 0 < max(bounds) <= lower + 1e-9
    assert bounds[-1] == pytest.approx(max(bounds))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_stages_keep_room_for_their_sessions(seed: int) -> None:
    """A stage's servers together hold the sessions that it is for, and its lines cover all blocks."""
    few = fleet(seed, servers=9)
    for (pairs, triples, _), rows in stage_starts(few).items():
        assert 2 * pairs + 3 * triples <= few.n_servers
        for spans in rows:
            assert min(free_slots(few, spans)) >= 0
            assert {block for a, b in spans for block in range(a, b)} == set(range(few.n_blocks))
    spans = staged(few, 2, 3, 1)
    if spans is not None:
        stages = [span for span in set(spans) if span[1] > 0]
        for start, stop in stages:
            size = stop - start
            members = [j for j, span in enumerate(spans) if span == (start, stop)]
            assert sum(int(few.slots[j, size]) // size for j in members) >= 2


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_moves_keep_spans_in_range(seed: int) -> None:
    """A walk of any moves leaves spans that exist and that their servers hold with a session's cache."""
    from placement.kinds.sessions.kernels.spans import sessions_neighbour

    few, rng = fleet(seed, servers=6), np.random.default_rng(seed)
    problem = SessionsProblem(few)
    genome = problem.random(rng, 1)[0]
    for _ in range(200):
        trial = np.empty_like(genome)
        sessions_neighbour(genome, problem.data, rng, trial)
        starts, sizes = trial[:6], trial[6:]
        assert (starts >= 0).all()
        assert (starts + sizes <= few.n_blocks).all()
        assert ((sizes >= 0) & (sizes <= few.most_blocks)).all()
        genome = trial


def test_too_many_arrivals_are_proven_infeasible() -> None:
    """Arrivals beyond the bound on the rate end at once, with both figures."""
    with pytest.raises(InfeasibleError, match="no placement serves more than"):
        solve_chains(fleet(3, arrivals=1e4), objective="response", time_limit=1.0)


@pytest.mark.parametrize("objective", ["rate", "response"])
def test_never_below_the_reference(objective: str) -> None:
    """The search keeps the rules and is no worse than GBP-CR at its best capacity."""
    few = fleet(3, servers=8, arrivals=0.3)
    result = solve_chains(few, objective=objective, time_limit=1.0)
    assert not broken_rules(few, result.plan)
    assert result.rate <= result.relaxation + 1e-6 <= result.bound + 2e-6
    reference = best_rate(few, all_servers)
    assert reference is not None
    if objective == "rate":
        assert result.rate >= total_rate(few, reference.chains) - 1e-9
    else:
        assert result.simulated is not None
        assert result.simulated.mean_s <= 1.05 * simulate(few, reference.chains).mean_s


def test_fastest_free_chain_by_hand() -> None:
    """Two chains of one slot, 1 s and 3 s: the second session goes to the slow one, the third waits."""
    arrivals, sizes = np.array([0.0, 0.1, 0.2]), np.ones(3)
    times = responses([3.0, 1.0], [1, 1], arrivals, sizes)
    assert times == pytest.approx([1.0, 3.0, 1.8])


def test_one_chain_is_an_erlang_queue() -> None:
    """With one slot both bounds are the M/M/1 response time 1 / (mu - lambda)."""
    assert response_bounds([0.5], [1], 1.0) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_simulation_lies_within_the_bounds(load: float) -> None:
    """Join the fastest free chain: the mean lies between both birth-death bounds, up to noise."""
    seconds, capacities = [1.0, 2.0, 5.0], [3, 2, 4]
    arrivals_per_s = load * sum(c / s for c, s in zip(capacities, seconds, strict=True))
    lower, upper = response_bounds(seconds, capacities, arrivals_per_s)
    mean = np.mean([responses(seconds, capacities, *traffic(arrivals_per_s, seed)).mean() for seed in range(4)])
    assert 0.98 * lower <= mean <= 1.02 * upper


def test_petals_fills_the_emptiest_window() -> None:
    """Joining servers take the window with the least sorted throughputs, the first of equal ones."""
    assert joined([2, 2, 3], np.array([1.0, 2.0, 1.0]), 5) == ((0, 2), (2, 4), (2, 5))


def test_the_command_takes_a_file_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`placement solve CASE.json --json` lists spans, chains and capacities."""
    path = tmp_path / "case.json"
    path.write_text(json.dumps(document()))
    assert run(["solve", str(path), "--objective", "rate", "--time-limit", "0.5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["kind"] == "chains"
    assert data["chains"][0]["stops"][-1] == 12
    assert data["objective"]["value"] <= data["objective"]["bound"]
    assert {span["node"] for span in data["placement"]} <= {"a", "b"}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"num_blocks": 0}, "num_blocks"),
        ({"servers": []}, "servers"),
        ({"block_gb": -1}, "block_gb"),
        ({"servers": [{"id": "a", "memory_gb": 20, "tau_c_s": 0, "tau_p_s": 0}]}, "servers[0].tau_p_s"),
        ({"servers": [{"id": "a", "tau_c_s": 0, "tau_p_s": 1}]}, "servers[0].memory_gb"),
    ],
)
def test_bad_files_name_the_key(changes: dict[str, object], part: str) -> None:
    """A mistake is one line with the key's path."""
    with pytest.raises(InputError, match=part.replace("[", r"\[")):
        fleet_of(document(**changes))


def test_a_server_that_is_too_small_holds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan goes without it and says so by name."""
    server = {"tau_c_s": 0.3, "tau_p_s": 0.1}
    servers = [{"id": name, "memory_gb": size, **server} for name, size in (("a", 20), ("tiny", 1.05), ("b", 14))]
    path = tmp_path / "case.json"
    path.write_text(json.dumps(document(servers=servers)))
    for objective in ("rate", "response"):
        assert run(["solve", str(path), "--objective", objective, "--time-limit", "0.3", "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert {span["node"] for span in data["placement"]} <= {"a", "b"}
        assert "tiny holds nothing" in data["notes"][0]


def test_infeasible_fleets_say_why(tmp_path: Path) -> None:
    """Servers that cannot hold one block, or not all blocks, are infeasible: exit 2, with names."""
    with pytest.raises(InfeasibleError, match="no server holds one block"):
        fleet_of(document(block_gb=30.0))
    with pytest.raises(InfeasibleError, match="held by nobody"):
        fleet_of(document(num_blocks=100))
    path = tmp_path / "case.json"
    path.write_text(json.dumps(document(num_blocks=100)))
    assert run(["solve", str(path), "--json"]) == 2
