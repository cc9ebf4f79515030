"""Pipelines side by side: disjoint, never worse than one pipeline, and each as good as it says."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib import import_module
from itertools import count as counted
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.pipeline.together import RANGE_SLACK
from placement import InputError, NotFoundError, optimize
from placement.costs.build import build_tables
from placement.errors import PlacementError
from placement.kinds import copies
from placement.kinds.asked import Asked, ask
from placement.kinds.copies import bounded, most_together
from placement.kinds.space import holders
from placement.kinds.space.beside import renamed
from placement.kinds.space.copies import apportioned, dealt, part_of
from placement.optimize import judge
from placement.plan.plan import Plan
from placement.question.request import Request
from placement.readers.cluster.read import read_request
from placement.search.stop import StoppedBy
from tests.sampled import some_quick

from .instances import best_by_hand, best_split, choices, host, offloading, partitions


def cluster(**more: Any) -> dict[str, Any]:
    """Two hosts of two cards each, on a slow network, and one card apart."""
    card = {"memory": "24 GB", "memory_bandwidth": "900 GB/s", "compute": "100 TFLOP/s"}
    return {
        "model": "llama-3.1-8b",
        "workload": {"prompt_tokens": 256, "output_tokens": 64, "concurrency": 12},
        "objective": "throughput",
        "nodes": [
            {"name": "a", "count": 2, "host": "a", **card},
            {"name": "b", "count": 2, "host": "b", **card},
            {"name": "c", **card, "memory_bandwidth": "400 GB/s"},
        ],
        "network": {
            "default": {"bandwidth": "1 Gbit/s", "latency": "1 ms"},
            "links": [
                {"nodes": ["a-0", "a-1"], "bandwidth": "20 GB/s", "latency": "10 us"},
                {"nodes": ["b-0", "b-1"], "bandwidth": "20 GB/s", "latency": "10 us"},
            ],
        },
    } | more


def solved(data: dict[str, Any], seconds: float = 3.0) -> Plan:
    """Its best plan after a moment; most of the questions end before, with a proof."""
    return optimize(None, data, time_limit=seconds).plan


def test_copies_are_disjoint_and_add_up() -> None:
    """Each copy holds all blocks on nodes of its own; sequences and tokens/s of the copies sum to those of the plan."""
    plan = solved(cluster(copies=3))
    assert len(plan.chains) == 3
    nodes = [node for chain in plan.chains for node in chain.nodes]
    assert len(set(nodes)) == len(nodes)
    for chain in plan.chains:
        assert chain.stops[-1] == plan.n_blocks
    assert sum(chain.capacity or 0 for chain in plan.chains) == 12
    assert sum(chain.tokens_per_s or 0 for chain in plan.chains) == pytest.approx(plan.figures.tokens_per_s)
    assert sum(route.weight for route in plan.routing) == pytest.approx(1.0)
    assert Plan.from_dict(plan.to_dict()) == plan


@pytest.mark.slow
def test_auto_is_never_worse_than_a_number() -> None:
    """As many copies as are best serve at least as much as one, two or five."""
    best = solved(cluster(copies="auto")).figures.tokens_per_s
    for count in (1, 2, 5):
        assert best >= solved(cluster(copies=count)).figures.tokens_per_s * (1 - 1e-6)


@pytest.mark.slow
def test_several_pipelines_are_looked_at_where_nobody_asks_for_one() -> None:
    """Without the key, the plan serves what the best number of copies does; `copies: 1` is one pipeline."""
    free, one, best = (solved(cluster(**more), 20.0) for more in ({}, {"copies": 1}, {"copies": "auto"}))
    assert free.chains
    assert not one.chains
    assert free.figures.tokens_per_s > one.figures.tokens_per_s
    assert free.figures.tokens_per_s == pytest.approx(best.figures.tokens_per_s, rel=1e-3)
    assert free.notes[-1] == "`copies: 1` plans one pipeline"
    alone = solved(cluster(workload={"prompt_tokens": 256, "output_tokens": 64, "concurrency": 1}))
    assert not alone.chains
    assert not solved(cluster(pins={"embed": "c"})).chains


def test_one_interruption_ends_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while several pipelines are looked at: no further search begins, and the plan of one is there."""
    module = import_module("placement.optimize")
    search, searches = module._alone, []

    def interrupted(*args: Any) -> Any:
        searches.append(search(*args))
        return replace(searches[-1], stopped_by=StoppedBy.INTERRUPTED) if len(searches) > 1 else searches[-1]

    monkeypatch.setattr(module, "_alone", interrupted)
    plan = solved(cluster(), 20.0)
    assert len(searches) == 2
    assert plan == searches[0].plan


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000))
def test_no_copies_serve_more_than_their_bound(seed: int) -> None:
    """On random hosts, groups included: plans of any number of copies stay below it, and say how far."""
    rng = np.random.default_rng(seed)
    data = host(rng, 4, 5, alike=bool(seed % 3)) | {"objective": "throughput", "copies": 1 + seed % 3}
    data["workload"]["concurrency"] = 8
    most = most_together(read_request(data))
    try:
        plan = optimize(None, data, time_limit=0.5).plan
    except PlacementError:
        return
    assert most is None or plan.figures.tokens_per_s <= most * (1 + 1e-9)
    if plan.chains:
        assert plan.objective.bound == (most if most is None else pytest.approx(most))


def test_a_bound_that_a_plan_contradicts_is_an_error() -> None:
    """Nothing is called proven by a wrong bound."""
    plan = solved(cluster(copies=2))
    with pytest.raises(RuntimeError, match="more than the bound"):
        bounded(plan, 0.9 * plan.objective.value)
    assert bounded(plan, 1.1 * plan.objective.value).objective.gap == pytest.approx(0.1)


@pytest.mark.parametrize("seed", some_quick(range(30), 6))
def test_the_bound_holds_for_everything_that_can_be_enumerated(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On three devices: all ways to deal them and the sequences, all groups, parts in main memory, orders and cuts.

    So do bounds where groups, and then nodes too, are taken to be too many to be listed.
    """
    rng = np.random.default_rng(seed)
    parts = seed % 3 == 0
    data = offloading(rng, 2, 4, mixed=bool(seed % 2)) if parts else host(rng, 3, 4, alike=bool(seed % 3 - 1))
    data |= {"objective": "throughput"}
    data["workload"]["concurrency"] = 4
    request = read_request(data)
    best = best_together(request, parts=parts)
    for limits in ({}, {"MOST_HOLDERS": 0}, {"MOST_KINDS": 1}):
        for name, value in limits.items():
            monkeypatch.setattr(holders, name, value)
        most = most_together(request)
        assert most is not None
        assert best <= most * (1 + 1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_micro_batches_between_those_that_are_looked_at_take_no_less(seed: int) -> None:
    """Seconds of a block grow with the sequences of a micro-batch, but for what the bound leaves."""
    rng = np.random.default_rng(seed)
    data = host(rng, 2, 4, alike=False)
    prompt, output = int(rng.integers(8, 9000)), int(rng.integers(2, 900))
    data["workload"] = {"prompt_tokens": prompt, "output_tokens": output, "concurrency": 1500}
    rates = build_tables(read_request(data), sizes=[*range(1, 300), *range(300, 1500, 29)]).rounds("throughput")
    for micro_batches in (1, 2, 8, 64):
        long = 1.0 - (1.0 - rates.share) ** micro_batches
        seconds = rates.short_s + long[:, None, None] * rates.convoy_s
        assert (np.maximum.accumulate(seconds, axis=0) * (1 - RANGE_SLACK) <= seconds).all()


def best_together(request: Request, *, parts: bool) -> float:
    """The most tokens/s of any pipelines side by side, by enumeration."""

    @cache
    def rate(part: tuple[int, ...], sequences: int) -> float:
        question = part_of(request, part, sequences)
        whole = best_split(question) if parts else best_by_hand(question)  # cards that leave parts join nobody there
        with_cpu = parts and question.cluster.nodes[-1].main_memory and len(part) > 1
        return 1.0 / min([whole, *(best_split(choice) for choice in (choices(question) if with_cpu else ()))])

    total, best = request.workload.concurrency, 0.0
    for partition in partitions(range(request.cluster.n_nodes)):
        for counts in product(range(total + 1), repeat=len(partition)):
            if sum(counts) <= total:
                best = max(best, sum(rate(part, count) for part, count in zip(partition, counts, strict=True) if count))
    return best


def test_the_bound_is_near_what_is_found() -> None:
    """Cards of servers, alone and before a processor with main memory: several pipelines serve most of the bound."""
    plan = solved(cluster(copies="auto"), 6.0)
    assert plan.objective.bound is not None
    assert plan.objective.value > 0.75 * plan.objective.bound
    cpu = {"name": "cpu", "host": "a", "main_memory": True, "memory": "64 GB", "memory_bandwidth": "60 GB/s"}
    data = cluster()
    data["nodes"].append({**cpu, "compute": "1 TFLOP/s"})
    most = most_together(read_request(data))
    assert most is not None
    assert plan.objective.value <= most <= 1.2 * plan.objective.bound


def test_a_plan_of_copies_is_judged_as_it_was_planned() -> None:
    """Alike copies given as spans have the figures that the plan of them has."""
    data = cluster(copies=2, exclude=["c"])
    plan = solved(data)
    again, broken = judge(None, data | {"copies": 1}, plan.placement)
    assert not broken
    assert again.figures.tokens_per_s == pytest.approx(plan.figures.tokens_per_s)
    assert [chain.nodes for chain in again.chains] == [chain.nodes for chain in plan.chains]


def test_layouts_that_share_a_node_are_refused() -> None:
    """Two pipelines need nodes of their own."""
    data = cluster(copies=1)
    plan = solved(data)
    with pytest.raises(InputError, match="is in two of the 2 pipelines"):
        judge(None, data, (*plan.placement, *plan.placement))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"objective": "latency"}, "copies: copies serve more requests: they go with the objective throughput"),
        ({"pins": {"embed": "c"}}, "pins speaks of one pipeline"),
        ({"max_nodes": 2}, "max_nodes speaks of one pipeline"),
        ({"copies": 6}, "expected at most 5 copies"),
        ({"copies": 0}, "expected auto, or a whole number of at least 1, got 0"),
        ({"placement": "replicated", "objective": "served"}, "copies are of pipelines"),
    ],
)
def test_what_copies_do_not_go_with(more: dict[str, Any], message: str) -> None:
    """One line each for what speaks of one pipeline."""
    with pytest.raises(InputError, match=message):
        solved(cluster(copies=2) | more)


@pytest.mark.slow
def test_a_limit_on_the_whole_is_kept_or_nothing_is_found() -> None:
    """The least throughput is that of all copies together."""
    rate = solved(cluster(copies=2)).figures.tokens_per_s
    kept = solved(cluster(copies=2, limits={"throughput": f"{0.9 * rate} tokens/s"}))
    assert kept.figures.tokens_per_s >= 0.9 * rate
    with pytest.raises(NotFoundError, match="no 2 pipelines side by side"):
        solved(cluster(copies=2, limits={"throughput": f"{2 * rate} tokens/s"}))


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 40), st.lists(st.floats(0.1, 100.0), min_size=1, max_size=12))
def test_sequences_are_apportioned(more: int, weights: list[float]) -> None:
    """Everybody gets one at least, all are given out, nobody is further than one from its exact part of the rest."""
    total = len(weights) + more
    counts = apportioned(total, weights)
    assert sum(counts) == total
    exact = np.array(weights) / sum(weights) * more
    assert (np.abs(np.array(counts) - 1 - exact) < 1 + 1e-6).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_dealt_parts_are_disjoint(seed: int, count: int) -> None:
    """Every way to deal gives so many parts, and every node to one of them."""
    rng = np.random.default_rng(seed)
    data = host(rng, 5, 6, alike=bool(seed % 2)) | ({"exclude": ["g4"]} if count < 5 else {})
    for node in data["nodes"]:
        node["host"] = f"pc{rng.integers(3)}"
    request = read_request(data)
    free = sorted(k for k, node in enumerate(request.cluster.nodes) if node.name not in request.constraints.exclude)
    for parts in dealt(request, count):
        assert len(parts) == count
        assert sorted(k for part in parts for k in part) == free


def test_a_renamed_plan_is_that_of_the_other_part() -> None:
    """The plan of one of two alike hosts, renamed, is the plan of the other."""
    asked = ask(None, cluster(copies=2, exclude=["c"]))
    request = replace(asked.question, copies=1)
    one, other = part_of(request, (0, 1), 6), part_of(request, (2, 3), 6)
    plans = [optimize(None, part, time_limit=3.0).plan for part in (one, other)]
    moved = renamed(plans[0], one.cluster, other.cluster)
    assert moved.placement == plans[1].placement
    assert moved.groups == plans[1].groups
    assert moved.bottleneck == plans[1].bottleneck


def test_a_model_that_no_memory_holds() -> None:
    """As many copies as are best of a model too large for all nodes together: not even one, which is told."""
    with pytest.raises(NotFoundError, match="no pipelines side by side were found"):
        optimize("llama-3.1-405b", cluster(copies="auto"), time_limit=0.5)


def test_time_that_is_over_ends_the_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many copies as are best: once there is a plan and no time, no further number of them is tried."""
    clock = counted(step=10.0)
    monkeypatch.setattr(copies, "clock", SimpleNamespace(now=lambda: next(clock)))
    asked: list[int] = []

    def solve(part: Asked, seconds: float) -> Plan | None:
        asked.append(part.question.cluster.n_nodes)
        return optimize(None, part.question, objective="throughput", time_limit=0.2).plan

    plan = copies.with_copies(ask(None, cluster(copies="auto")), 15.0, solve)
    assert asked == [5]  # one pipeline on all nodes
    assert plan.figures.tokens_per_s > 0


def test_what_is_wrong_with_copies_is_told_with_its_file(tmp_path: Path) -> None:
    """The key stands in a file, so the message names it; without a file, the key alone."""
    data = cluster(copies=2, objective="latency")
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"cluster\.json: copies: copies serve more requests"):
        optimize(None, file, time_limit=0.1)
    with pytest.raises(InputError, match=r"^copies: copies serve more requests"):
        optimize(None, data, time_limit=0.1)
