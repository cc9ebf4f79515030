"""Groups of devices: what is found against plain enumeration, how they are named, and what forbids them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from placement import optimize
from placement.catalog.hardware import devices, lineage
from placement.costs.build import build_tables
from placement.costs.runtimes import class_of
from placement.errors import InfeasibleError, InputError
from placement.export.api import export_plan
from placement.kinds.space.groups import group_node
from placement.kinds.space.variants import group_variants, variants_of, with_groups
from placement.optimize import judge
from placement.readers.cluster.read import read_request

from .instances import best_by_hand, host, minimised

NODE: dict[str, Any] = {"name": "a", "device": "a100-80gb-sxm", "count": 4}
FOUR: dict[str, Any] = {
    "model": "llama-3.1-70b",
    "workload": {"prompt_tokens": 512, "output_tokens": 128, "concurrency": 64},
    "objective": "throughput",
    "nodes": [NODE],
}


@pytest.mark.parametrize("seed", range(24))
def test_the_best_of_all_groupings_is_found(seed: int) -> None:
    """On hosts of two or three devices the answer equals enumeration over groupings, orders and cuts; bounds hold."""
    rng = np.random.default_rng(seed)
    data = host(rng, devices=2 + seed % 2, blocks=5, alike=bool(seed % 3)) | {"copies": 1}
    best = best_by_hand(read_request(data))
    if not np.isfinite(best):
        with pytest.raises(InfeasibleError):
            optimize(None, data, time_limit=20)
        return
    plan = optimize(None, data, time_limit=20).plan
    maximised = plan.objective.sense == "maximize"
    assert minimised(plan.objective.value, maximised) == pytest.approx(best, rel=1e-9)
    if plan.objective.bound is not None:
        assert minimised(plan.objective.bound, maximised) <= best * (1 + 1e-9)


def test_four_cards_become_one_group() -> None:
    """Four A100 with NVLink hold Llama-3.1-70B together, at more than twice the rate of the best pipeline."""
    wide = optimize(None, FOUR, time_limit=20).plan
    alone = [{**NODE, "tensor_parallel": 1}]
    narrow = optimize(None, {**FOUR, "nodes": alone, "copies": 1}, time_limit=20).plan
    assert [group.devices for group in wide.groups] == [("a-0", "a-1", "a-2", "a-3")]
    assert wide.objective.value > 2 * narrow.objective.value
    assert "tensor groups of one host up to 4" in wide.space
    assert narrow.space == ""


def test_a_layout_with_groups_is_judged_as_it_was_found() -> None:
    """The spans of a plan with groups, judged again, have the figures of the plan."""
    plan = optimize(None, FOUR, time_limit=20).plan
    again, broken = judge(None, FOUR, plan.placement)
    assert not broken
    assert again.figures == plan.figures
    assert again.groups == plan.groups


def test_degrees_divide_the_heads() -> None:
    """With 28 heads and 4 KV heads no group of eight is formed: one of four, or two of four, or smaller ones."""
    data = {**FOUR, "model": "qwen2.5-7b", "nodes": [{**NODE, "count": 8}]}
    sizes = {node.tensor_parallel for variant in group_variants(read_request(data)) for node in variant.cluster.nodes}
    assert sizes == {1, 2, 4}


def test_more_devices_than_kv_heads_repeat_the_cache() -> None:
    """A group of eight of a model with two KV heads holds each byte of cache four times."""
    data = host(np.random.default_rng(1), devices=8, blocks=5, alike=True)
    data["model"] |= {"heads": 8, "kv_heads": 2}
    request = read_request(data)
    whole = next(v for v in group_variants(request) if v.cluster.n_nodes == 1)
    assert whole.model.blocks[1].kv_bytes_per_token == 4 * request.model.blocks[1].kv_bytes_per_token


def test_pins_and_exclusions_hold_for_members() -> None:
    """A block pinned to a device is pinned to its group, and what is excluded joins no group."""
    request = read_request({**FOUR, "pins": {"head": "a-1"}, "exclude": ["a-3"]})
    for variant in group_variants(request):
        home = next(node for node in variant.cluster.nodes if node.name == "a-1" or "a-1" in node.members)
        assert variant.constraints.pins["head"] == home.name
        assert "a-3" in variant.cluster.names


@pytest.mark.parametrize(
    ("change", "variants"),
    [
        ({"tensor_parallel": 1}, 1),
        ({"runtime": "accelerate"}, 1),
        ({"max_nodes": 1}, 1),
        ({"runtime": "vllm"}, 4),
    ],
)
def test_what_forbids_groups(change: dict[str, object], variants: int) -> None:
    """A degree of 1, a runtime without groups and fewer nodes than members leave the question alone."""
    nodes = [{**NODE, "tensor_parallel": change.get("tensor_parallel", "auto")}]
    found, _ = variants_of(read_request({**FOUR, "nodes": nodes, **change}))
    assert len(found) == variants


@pytest.mark.parametrize("value", ["some", 0, True, 1.5])
def test_other_degrees_are_refused(value: object) -> None:
    """Anything but auto and whole numbers is refused in one line."""
    with pytest.raises(InputError, match=r"nodes\[0\]\.tensor_parallel: expected auto, or a whole number"):
        read_request({**FOUR, "nodes": [{**NODE, "tensor_parallel": value}]})


UNLIKE = [
    {"name": "big", "device": "rtx-5090", "host": "pc"},
    {"name": "small", "device": "rtx-3060-12gb", "host": "pc"},
]


@pytest.mark.parametrize("runtime", ["", "llama.cpp"])
def test_no_member_holds_more_than_its_memory(runtime: str) -> None:
    """Whatever a runtime keeps for itself: what a group can hold, in its shares, fits on every member."""
    link = {"default": {"link": "pcie-4-x16"}}
    data = {"model": "llama-3.1-70b", "quantization": "q4_k_m", "nodes": UNLIKE, "network": link}
    request = read_request({**data, **({"runtime": runtime} if runtime else {})})
    looked = 0
    for variant in variants_of(request)[0]:
        tables = build_tables(variant.request)
        for node, room in zip(variant.request.cluster.nodes, tables.capacity_bytes, strict=True):
            shares = node.shares or (1 / max(1, len(node.members)),) * len(node.members)
            for member, share in zip(node.members, shares, strict=True):
                looked += 1
                own = request.cluster.nodes[request.cluster.index(member)]
                assert room * share <= own.memory_bytes
    assert looked >= 4


def test_processors_of_the_catalog_join_no_card() -> None:
    """Each CPU of the catalog is the main memory of its host, whatever its class: beside a card it is in no group."""
    processors = [name for name, device in devices().items() if "cpu" in lineage(device.kind)]
    assert len(processors) >= 10
    for name in processors:
        nodes = [{"name": "card", "device": "rtx-3090", "host": "pc"}, {"name": "ram", "device": name, "host": "pc"}]
        request = read_request(
            {"model": "llama-3.1-8b", "nodes": nodes, "network": {"default": {"link": "pcie-4-x16"}}}
        )
        assert request.cluster.nodes[1].main_memory, name
        assert not list(group_variants(request)), name


def step_of_group(topology: str, count: int) -> float:
    """Seconds of a decode step of one layer on a group of so many alike cards."""
    node = {**NODE, "count": count, "topology": topology}
    request = read_request({**FOUR, "nodes": [node]})
    variant = with_groups(request, (tuple(range(count)),))
    assert variant is not None
    return float(build_tables(variant).decode_s[0, 0, 1])


def test_topologies_of_sums() -> None:
    """Main memory doubles what a ring takes; trees save latencies from four devices on, by their levels alone."""
    link = read_request(FOUR).cluster
    latency, bandwidth = float(link.latency_s[0, 1]), float(link.bandwidth_bytes_per_s[0, 1])
    activation = read_request(FOUR).model.blocks[1].activation_bytes_per_token
    for count in (2, 4, 8):
        ring, tree, through = (step_of_group(name, count) for name in ("ring", "tree", "host"))
        levels = count.bit_length() - 1
        moved = 2 * (count - 1) / count * activation / bandwidth
        assert ring - tree == pytest.approx(2 * latency * (2 * (count - 1) - 2 * levels), abs=1e-12)
        assert through - ring == pytest.approx(2 * (2 * (count - 1) * latency + moved))


def test_an_unknown_topology_is_refused() -> None:
    """One line with the key and what may stand there."""
    with pytest.raises(InputError, match=r"nodes\[0\]\.topology"):
        read_request({**FOUR, "nodes": [{**NODE, "topology": "star"}]})


def apart(count: int, **more: Any) -> dict[str, Any]:
    """Alike machines of one device each, on a fast network."""
    card = {"memory": "60 GB", "memory_bandwidth": "800 GB/s", "compute": "50 TFLOP/s"}
    return {
        "model": "llama-3.1-70b",
        "quantization": "q4_k_m",
        "objective": "latency",
        "nodes": [{"name": f"m{k}", **card} for k in range(count)],
        "network": {"default": {"bandwidth": "5 GB/s", "latency": "10 us"}},
    } | more


def test_machines_join_where_the_file_lets_them() -> None:
    """Without the key no group crosses hosts; with it the plan is the one of the same devices in one host."""
    alone = optimize(None, apart(2), time_limit=3).plan
    assert not alone.groups
    joined = optimize(None, apart(2, across_hosts=True), time_limit=3).plan
    assert [group.devices for group in joined.groups] == [("m0", "m1")]
    assert joined.space == "layers whole, or tensor groups of several hosts up to 2"
    assert joined.figures.time_per_token_s < alone.figures.time_per_token_s
    together = apart(2)
    together["nodes"] = [{**node, "host": "one"} for node in together["nodes"]]
    assert joined.figures == optimize(None, together, time_limit=3).plan.figures


def test_groups_across_hosts_need_links_and_alike_hosts() -> None:
    """Whole hosts join, two or four of them, where all members are linked; hosts of another kind stay out of it."""
    request = read_request(apart(4, across_hosts=True))
    sizes = [[len(node.members) for node in variant.cluster.nodes] for variant in group_variants(request)]
    assert sizes == [[2, 2], [4]]
    assert [node.host for node in next(group_variants(request)).cluster.nodes] == ["", ""]
    pairs = [{"name": f"h{k}", "host": f"h{k}", "count": 2, "device": "h100-sxm"} for k in range(2)]
    hosts = read_request(apart(4, across_hosts=True, nodes=pairs))
    sizes = [[len(node.members) for node in variant.cluster.nodes] for variant in group_variants(hosts)]
    assert sizes == [[4], [2, 2]]
    unlike = apart(2, across_hosts=True)
    unlike["nodes"][1] = {**unlike["nodes"][1], "memory_bandwidth": "400 GB/s"}
    assert not list(group_variants(read_request(unlike)))
    linked = read_request(apart(2, across_hosts=True))
    cut = linked.cluster.bandwidth_bytes_per_s.copy()
    cut[0, 1] = 0.0
    assert not list(group_variants(replace(linked, cluster=replace(linked.cluster, bandwidth_bytes_per_s=cut))))


def test_unlike_cards_have_equal_shares_where_a_runtime_knows_no_others() -> None:
    """vLLM divides equally: two unlike cards of one size are a group of two all the same, where that serves more."""
    nodes = [{"name": "new", "device": "rtx-4090", "host": "pc"}, {"name": "old", "device": "rtx-3090", "host": "pc"}]
    work = {"prompt_tokens": 2048, "output_tokens": 512, "concurrency": 16}
    data = {"model": "qwen3-32b", "quantization": "fp8", "workload": work, "objective": "throughput", "nodes": nodes}
    plan = optimize(None, data | {"runtime": "vllm", "copies": 1}, time_limit=2).plan
    assert [(group.devices, group.shares) for group in plan.groups] == [(("new", "old"), ())]
    assert "--tensor-parallel-size 2" in export_plan(plan, "vllm").text


@pytest.mark.parametrize(
    ("second", "kind"),
    [("rtx-2070", "nvidia"), ("rtx-5090", "consumer-blackwell"), ("rx-7900-xtx", "gpu"), ("rtx-5060-ti-16gb", "")],
)
def test_unlike_cards_have_the_costs_of_their_common_class(second: str, kind: str) -> None:
    """The nearest class of the catalog that all are of, of any card where makers differ; none for one device twice."""
    nodes = [{"name": "a", "device": "rtx-5060-ti-16gb", "host": "pc"}, {"name": "b", "device": second, "host": "pc"}]
    request = read_request({"model": "llama-3.1-8b", "quantization": "q4_k_m", "nodes": nodes})
    node = group_node(request.cluster, (0, 1), "speed", (1e-5, 1e10))
    assert (node.device_class, node.device) == (kind, "" if second != "rtx-5060-ti-16gb" else second)
    assert class_of(node) == (kind or "consumer-blackwell")
