"""Holders that are too many to list: what stands for them is never slower, and a bound is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from objectives.pipeline.together import Holders
from placement.costs.build import build_tables
from placement.kinds.copies import most_together
from placement.kinds.space import holders as module
from placement.kinds.space.crowds import of_fewer_kinds, sizes_of_groups
from placement.kinds.space.holders import holders_of
from placement.question.alike import kinds_of_nodes
from placement.question.request import Request
from placement.readers.cluster.read import read_request

from .instances import host

DEVICES = ("rtx-3090", "rtx-3060-12gb", "rtx-4090", "rtx-2080", "a100-80gb-sxm", "rtx-5090", "h100-sxm", "rtx-4070")

NETWORK = {"network": {"default": {"bandwidth": "10 Gbit/s", "latency": "0.1 ms"}}}


def cards(rng: np.random.Generator, count: int, runtime: str) -> Request:
    """Cards of the catalog in one host, some of which say other figures than the catalog, perhaps beside a CPU."""
    nodes: list[dict[str, Any]] = []
    for k in range(count):
        node: dict[str, Any] = {"name": f"g{k}", "device": str(rng.choice(DEVICES[:4])), "host": "pc"}
        if rng.random() < 0.3:
            node["memory"] = f"{rng.uniform(6, 24):.1f} GiB"
        if rng.random() < 0.2:
            compute, bandwidth = rng.uniform(0.3, 0.9, 2).round(2).tolist()
            node["efficiency"] = {"compute": compute, "bandwidth": bandwidth}
        if rng.random() < 0.2:
            node["overhead"] = f"{rng.uniform(1, 60):.0f} us"
        nodes.append(node)
    if rng.random() < 0.5 and not runtime:
        nodes.append({"name": "cpu", "device": "epyc-9755", "host": "pc"})
    named = {"runtime": runtime} if runtime else {}
    work = {"prompt_tokens": 512, "output_tokens": 128, "concurrency": 16}
    model = str(rng.choice(["llama-3.1-8b", "qwen3-30b-a3b"]))
    return read_request({"model": model, "workload": work, "objective": "throughput", "nodes": nodes, **named})


def listed(request: Request, most: int, patch: pytest.MonkeyPatch) -> Holders:
    """The holders of a question, of which so many tables are listed at most."""
    patch.setattr(module, "MOST_HOLDERS", most)
    found = holders_of(request)
    assert found is not None
    return found


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["", "", "vllm", "sglang"]))
@example(293, "vllm")
def test_members_tell_what_no_group_is_faster_than(seed: int, runtime: str) -> None:
    """At any prices the work of a group costs no less than that of its cheapest member, and no round is shorter."""
    rng = np.random.default_rng(seed)
    request = cards(rng, int(rng.integers(2, 5)), runtime)
    with pytest.MonkeyPatch.context() as patch:
        every, crowd = listed(request, 10**6, patch), listed(request, 0, patch)
    groups = np.flatnonzero(every.devices.sum(axis=1) > 1)
    if not len(groups):
        return
    assert crowd.work is not None
    alone = int((every.devices.sum(axis=1) == 1).sum())  # single devices, with each of their choices of parts
    prices = rng.uniform(0.1, 1.0, every.devices.shape[1])
    for share in (0.0, 0.3, 1.0):
        lasting = every.rates.short_s + share * every.rates.convoy_s
        least = (crowd.rates.short_s + share * crowd.rates.convoy_s)[:, alone:]
        assert (lasting[:, groups] >= least.min(axis=1, keepdims=True) * (1 - 1e-9)).all()
        works = (crowd.work.short_s + share * crowd.work.convoy_s)[:, alone:]
        paid = (works * (crowd.devices[alone:] @ prices)[None, :, None]).min(axis=1, keepdims=True)
        assert (lasting[:, groups] * (every.devices[groups] @ prices)[None, :, None] >= paid * (1 - 1e-9)).all()
    assert every.largest_bytes <= crowd.largest_bytes * (1 + 1e-9)
    of_class = np.where(crowd.devices > 0, crowd.room_bytes[:, None], 0.0).max(axis=0)
    assert (every.room_bytes[groups] <= every.devices[groups] @ of_class * (1 + 1e-9)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_merged_nodes_are_no_slower(seed: int, most: int) -> None:
    """Nodes of fewer kinds take no longer for any block, have no less memory, and keep their names and hosts."""
    rng = np.random.default_rng(seed)
    request = cards(rng, 6, "")
    data = host(rng, 4, 4, alike=False)
    for question in (request, read_request(data)):
        nodes = question.cluster.nodes
        merged = of_fewer_kinds(nodes, most)
        assert [(node.name, node.host) for node in merged] == [(node.name, node.host) for node in nodes]
        names = ("name", "members", "shares", "host")
        assert len(set(kinds_of_nodes(merged, names))) <= len(set(kinds_of_nodes(nodes, names)))
        before, after = build_tables(question), build_tables(_with(question, merged))
        assert (after.decode_s <= before.decode_s * (1 + 1e-9)).all()
        assert (after.prefill_s <= before.prefill_s * (1 + 1e-9)).all()
        assert (after.capacity_bytes >= before.capacity_bytes * (1 - 1e-9)).all()


def test_nodes_that_are_measured_one_by_one_are_merged_too() -> None:
    """Six hundred nodes, none of which is like another: there is a bound, and nodes of few kinds stay as they are."""
    nodes = [
        {"name": f"n{k}", "memory": "24 GiB", "decode_seconds_per_block": 0.001 + 1e-6 * k, "region": f"r{k}"}
        for k in range(600)
    ]
    request = read_request({"model": "llama-3.1-8b", "objective": "throughput", "nodes": nodes, **NETWORK})
    assert len(set(kinds_of_nodes(of_fewer_kinds(request.cluster.nodes, 50)))) <= 50
    holders = holders_of(request)
    assert holders is not None
    assert holders.supply.sum() == 600


def test_a_host_of_many_unlike_cards_has_a_bound() -> None:
    """Eight cards of eight kinds may form two hundred and more groups in three ways each."""
    nodes = [{"name": f"g{k}", "device": device, "host": "pc"} for k, device in enumerate(DEVICES)]
    work = {"prompt_tokens": 512, "output_tokens": 128, "concurrency": 64}
    request = read_request({"model": "llama-3.1-8b", "workload": work, "objective": "throughput", "nodes": nodes})
    few, many = most_together(request), 0.0
    assert few is not None
    for k in range(len(nodes)):  # what single cards can do side by side is below it
        alone = most_together(read_request({**_data(work), "nodes": nodes[k : k + 1]}))
        many = max(many, alone or 0.0)
    assert many < few < 8 * many


def test_ranges_of_groups_have_every_number_once() -> None:
    """From two devices on, without gaps."""
    found = [count for low, high in sizes_of_groups(100) for count in range(low, high + 1)]
    assert found == list(range(2, 101))


def _data(work: dict[str, int]) -> dict[str, Any]:
    return {"model": "llama-3.1-8b", "workload": work, "objective": "throughput"}


def _with(request: Request, nodes: tuple[Any, ...]) -> Request:
    return replace(request, cluster=replace(request.cluster, nodes=nodes))
