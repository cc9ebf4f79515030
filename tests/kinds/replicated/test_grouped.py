"""Replicated placements on groups: devices of a host hold a span together where that serves more."""

from __future__ import annotations

from typing import Any

import pytest

from placement import optimize
from placement.kinds.asked import ask
from placement.optimize import judge
from placement.plan.plan import Plan
from placement.run.chains import BatchChains
from placement.run.job import Job, places_of
from tests.sampled import some_quick


def cluster(**more: Any) -> dict[str, Any]:
    """Three hosts of two cards, which share a fast bus; the hosts are further apart."""
    card = {"memory": "24 GB", "memory_bandwidth": "900 GB/s", "compute": "100 TFLOP/s", "overhead": "2 us"}
    links = [{"nodes": [f"h{k}-0", f"h{k}-1"], "bandwidth": "60 GB/s", "latency": "2 us"} for k in range(3)]
    return {
        "model": "llama-3.1-8b",
        "placement": "replicated",
        "workload": {"prompt_tokens": 256, "output_tokens": 64, "concurrency": 6},
        "nodes": [{"name": f"h{k}", "count": 2, "host": f"h{k}", **card} for k in range(3)],
        "network": {"default": {"bandwidth": "1 GB/s", "latency": "2 ms"}, "links": links},
    } | more


def solved(data: dict[str, Any], objective: str) -> Plan:
    """Its best plan after a moment."""
    return optimize(None, data, objective=objective, time_limit=2.0).plan


def test_groups_shorten_the_fastest_chain() -> None:
    """A token takes less time where both cards of a host compute every block; `tensor_parallel: 1` forbids it."""
    grouped, single = solved(cluster(), "best_chain"), solved(cluster(tensor_parallel=1), "best_chain")
    assert grouped.groups
    assert not single.groups
    assert grouped.figures.best_chain_s < single.figures.best_chain_s
    assert grouped.space == "single devices, or tensor groups up to 2"
    assert {group.name for group in grouped.groups} <= {span.node for span in grouped.placement}


def test_a_plan_with_groups_is_judged_as_it_was_found() -> None:
    """The same figures and groups from its spans, and it is data for the executor."""
    plan = solved(cluster(), "best_chain")
    again, broken = judge(None, cluster(), plan.placement, objective="best_chain")
    assert not broken
    assert again.figures == plan.figures
    assert again.groups == plan.groups
    assert Plan.from_dict(plan.to_dict()) == plan
    devices = [device for group in plan.groups for device in group.devices]
    assert set(devices) <= set(places_of(Job(plan, "m", ((1,),), 1)))
    assert BatchChains.of(plan, 3).chains


def test_enough_holders_are_left() -> None:
    """With a holder on every host wanted, groups of two leave three; with four wanted, devices stay single."""
    three = solved(cluster(min_replicas=3, limits={"replicas": 3}), "best_chain")
    assert three.figures.min_holders >= 3
    four = cluster(min_replicas=4)
    assert len(ask(None, four).tasks()) == 1
    assert len(ask(None, cluster(min_replicas=3)).tasks()) == 2


@pytest.mark.parametrize("objective", some_quick(["flow", "served"], 1))
def test_the_wider_space_is_no_worse(objective: str) -> None:
    """What serves most on single devices is still in the space."""
    both = [solved(cluster(**more), objective).objective.value for more in ({}, {"tensor_parallel": 1})]
    assert both[0] >= both[1] * (1 - 0.02)  # two searches share the time


def test_a_running_plan_with_groups_is_gone_on_from() -> None:
    """Its groups are the nodes of the question: nothing needs to move."""
    plan = solved(cluster(), "best_chain")
    again = optimize(None, cluster(), objective="best_chain", time_limit=1.0, start=plan).plan
    assert again.figures.best_chain_s <= plan.figures.best_chain_s * (1 + 1e-9)
    assert again.groups == plan.groups
