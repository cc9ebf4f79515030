"""Parts of blocks in main memory: what is found against plain enumeration, and what the costs are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from placement import optimize
from placement.costs.build import build_tables
from placement.costs.parts import alone, can_leave, without
from placement.errors import PlacementError
from placement.export.api import export_plan, refusals
from placement.kinds.space.groups import ways
from placement.kinds.space.variants import with_groups
from placement.optimize import judge
from placement.plan.plan import PlacedSpan, Plan
from placement.question.model import Block
from placement.question.request import Away
from placement.readers.cluster.read import read_request
from placement.report.table import homes_of_parts, idle_nodes
from tests.sampled import some_quick

from .instances import CPU, best_split, choices, minimised, offloading, possible

GPU: dict[str, Any] = {"name": "gpu", "device": "rtx-3090", "host": "pc", "offload": "auto"}
PC: dict[str, Any] = {
    "model": "gpt-oss-120b",
    "workload": {"prompt_tokens": 2048, "output_tokens": 256},
    "nodes": [GPU, CPU],
}


def ensure_best(data: dict[str, Any], best: float) -> None:
    """The answer is the best that enumeration found, keeps its bound, and scores and reads as it says; or none is."""
    if not np.isfinite(best):
        with pytest.raises(PlacementError):
            optimize(None, data, time_limit=20)
        return
    plan = optimize(None, data, time_limit=20).plan
    assert minimised(plan.objective.value, False) == pytest.approx(best, rel=1e-9)
    assert plan.objective.bound is None or plan.objective.bound <= best * (1 + 1e-9)
    again, broken = judge(None, data, plan.placement)
    assert not broken
    assert again.figures == plan.figures
    assert Plan.from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize("seed", some_quick(range(16), 4))
def test_the_best_of_all_choices_is_found(seed: int) -> None:
    """On hosts of one or two cards and a CPU the answer equals enumeration over choices, orders and cuts."""
    rng = np.random.default_rng(seed)
    data = offloading(rng, cards=1 + seed % 2, blocks=6) | {"objective": ("latency", "ttft", "request_time")[seed % 3]}
    data["workload"]["concurrency"] = 1
    ensure_best(data, min(best_split(choice) for choice in choices(read_request(data))))


@pytest.mark.parametrize("seed", some_quick(range(16), 4))
def test_experts_and_feed_forwards_leave_together(seed: int) -> None:
    """Of layers some of which have experts: the answer equals enumeration over all choices of both parts, and says so.

    It is never worse than with one of the two parts alone.
    """
    rng = np.random.default_rng(seed)
    data = offloading(rng, cards=1 + seed % 2, blocks=6, mixed=True)
    data |= {"objective": ("latency", "ttft", "request_time")[seed % 3]}
    data["workload"]["concurrency"] = 1
    ensure_best(data, min(best_split(choice) for choice in choices(read_request(data))))


@pytest.mark.parametrize("seed", some_quick((30, 22, *range(12)), 1))
def test_caches_leave_beside_weights(seed: int) -> None:
    """The answer equals enumeration over all choices of weights, with the caches of all layers there or at home."""
    rng = np.random.default_rng(seed)
    data = offloading(rng, cards=1 + seed % 2, blocks=6, mixed=seed % 3 == 0, cached=True)
    data |= {"objective": ("latency", "ttft", "request_time")[seed % 3]}
    data["workload"]["concurrency"] = 1
    ensure_best(data, min(best_split(choice) for choice in choices(read_request(data))))


def test_both_parts_where_one_is_not_enough() -> None:
    """A card that holds the model only without its experts and without the FFN of its dense layers leaves both."""
    data = offloading(np.random.default_rng(0), cards=1, blocks=8, mixed=True)
    data["workload"]["concurrency"] = 1
    data["objective"] = "latency"
    free = read_request(data).model
    rest = sum(without(block, part).weight_bytes for block, part in _leaving(free.blocks))
    data["nodes"][0]["memory"] = f"{(rest + 0.7e9) / 1e9:.3f} GB"
    data["nodes"][1] |= {"memory": "40 GB", "memory_bandwidth": "10 GB/s"}
    plan = optimize(None, data, time_limit=20).plan
    assert {span.away for span in plan.placement} >= {"experts", "ffn"}
    assert plan.space.startswith("layers whole, or experts or ffn in main memory")


def test_two_hosts_leave_parts_each_in_its_own_memory() -> None:
    """Two alike PCs, the memory of one of which is not enough: both leave experts, each at home."""
    card = {**GPU, "tensor_parallel": 1, "offload": "experts"}
    nodes = [{**node, "name": f"{node['name']}{k}", "host": f"pc{k}"} for k in range(2) for node in (card, CPU)]
    nodes[1]["memory"] = nodes[3]["memory"] = "9 GiB"
    data = {**PC, "nodes": nodes, "network": {"default": {"bandwidth": "10 Gbit/s", "latency": "0.1 ms"}}}
    plan = optimize(None, data, time_limit=6).plan
    assert {(span.node, span.home) for span in plan.placement if span.away} == {("gpu0", "cpu0"), ("gpu1", "cpu1")}
    again, broken = judge(None, data, plan.placement)
    assert not broken
    assert again.figures == plan.figures


def _leaving(blocks: Sequence[Block]) -> Iterator[tuple[Block, str]]:
    """The blocks of which a part can leave, with it."""
    for block in blocks:
        yield from ((block, part) for part in ("experts", "ffn") if can_leave(block, part))


@pytest.mark.parametrize("seed", some_quick(range(8), 2))
def test_groups_leave_parts_too(seed: int) -> None:
    """Two cards that may join, beside a CPU: the answer equals enumeration over groups and choices together."""
    data = offloading(np.random.default_rng(seed), cards=2, blocks=6) | {"objective": ("latency", "ttft")[seed % 2]}
    data["workload"]["concurrency"] = 1
    for node in data["nodes"][:-1]:
        node["tensor_parallel"] = "auto"
    request = read_request(data)
    grouped = [with_groups(request, ((0, 1),), how) for how in ways(request.cluster, ((0, 1),))]
    pair = grouped if possible(request, (0, 1)) else []
    ensure_best(data, min(best_split(choice) for one in (request, *pair) if one is not None for choice in choices(one)))


def test_a_large_mixture_keeps_its_attention_on_the_card() -> None:
    """gpt-oss-120b on a card of 24 GB with 64 GB of memory: all layers on the card, experts of some beside the CPU."""
    plan = optimize(None, PC, time_limit=20).plan
    assert plan.objective.proven_optimal
    layers = [span for span in plan.placement if span.node == "gpu"]
    assert sum(span.stop - span.start for span in layers) >= 36
    assert {(span.away, span.home) for span in layers} == {("experts", "cpu"), (None, None)}
    whole = [{**GPU, "offload": "none"}, CPU]
    assert plan.objective.value < 0.75 * optimize(None, {**PC, "nodes": whole}, time_limit=20).plan.objective.value
    again, broken = judge(None, PC, plan.placement)
    assert not broken
    assert again.figures == plan.figures
    assert all(use.memory_used_bytes <= use.memory_bytes for use in plan.nodes)


def test_who_computes_for_others_is_not_idle() -> None:
    """A CPU that holds experts and no block of its own is shown with them, not among the idle nodes."""
    plan = optimize(None, PC | {"runtime": "llama.cpp"}, time_limit=1).plan
    assert {span.node for span in plan.placement} == {"gpu"}
    assert idle_nodes(plan) == ""
    assert homes_of_parts(plan)[0].startswith("beside them: cpu with experts (")


@pytest.mark.parametrize("model", some_quick(["gpt-oss-120b", "llama-3.1-70b"], 1))
def test_llama_cpp_keeps_the_first_layers_on_the_cpu(model: str) -> None:
    """What is planned for llama.cpp on a card that is too small can be written for it: a CPU's layers come first."""
    card = {**GPU, "device": "rtx-3060-12gb", "memory": "4 GiB"}
    format_of = {"llama-3.1-70b": {"quantization": "q4_k_m"}}
    data = {**PC, **format_of.get(model, {}), "model": model, "nodes": [card, CPU], "runtime": "llama.cpp"}
    plan = optimize(None, data, time_limit=3).plan
    request = read_request(data)
    assert plan.placement[0].node == "cpu"
    assert not refusals(plan, "llama.cpp", request)
    assert "-ngl" in export_plan(plan, "llama.cpp", at={"cpu": "CPU", "gpu": "CUDA0"}, request=request).text
    late = judge(None, data, [PlacedSpan("gpu", 0, 2), PlacedSpan("cpu", 2, plan.n_blocks)])[0]
    assert refusals(late, "llama.cpp", request) == [
        "llama.cpp keeps the first layers on the CPU, the plan gives 'cpu' others"
    ]


def test_what_is_missing_under_llama_cpp_is_told_once() -> None:
    """A model too large for card and memory together: one line with the bytes of both."""
    data = {**PC, "model": "llama-3.1-405b", "quantization": "q4_k_m", "runtime": "llama.cpp"}
    with pytest.raises(PlacementError) as caught:
        optimize(None, data, time_limit=2)
    assert str(caught.value).count("are missing") == 1
    assert "fits nowhere" not in str(caught.value)


def test_the_rest_and_the_part_are_the_block() -> None:
    """Weights, operations and caches of what stays and of what leaves add up to those of the block."""
    for part in ("experts", "cache", "ffn"):
        for block in read_request(PC).model.blocks:
            if can_leave(block, part):
                rest, piece = without(block, part), alone(block, part)
                assert rest.weight_bytes + piece.weight_bytes == pytest.approx(block.weight_bytes)
                assert rest.flops_per_token + piece.flops_per_token == pytest.approx(block.flops_per_token)
                assert rest.kv_bytes(100) + piece.kv_bytes(100) == pytest.approx(block.kv_bytes(100))


def test_one_cpu_serves_all_cards() -> None:
    """With several sequences in flight, the CPU is busy with the parts of all cards: the rate is not above its own."""
    data = offloading(np.random.default_rng(3), cards=2, blocks=8)
    data["workload"]["concurrency"] = 8
    request = read_request(data)
    away = Away("ffn", tuple(range(1, 7)), "cpu", ("g0", "g1"))
    tables = build_tables(replace(request, away=(away,)))
    assert tables.beside_s is not None
    each = tables.decode_s[0, 0, 1:7].sum()
    assert 0 < tables.beside_s[0, 2] < each
