"""Parts of blocks in main memory: what is found against plain enumeration, and what the costs are made of."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest

from placement import optimize
from placement.costs.build import build_tables
from placement.costs.parts import alone, can_leave, without
from placement.errors import PlacementError
from placement.kinds.space.groups import ways
from placement.kinds.space.variants import with_groups
from placement.optimize import judge
from placement.question.request import Away, Request
from placement.readers.cluster.read import read_request
from tests.sampled import some_quick

from .instances import best_split, minimised, offloading, possible

GPU: dict[str, Any] = {"name": "gpu", "device": "rtx-3090", "host": "pc", "offload": "auto"}
CPU: dict[str, Any] = {
    "name": "cpu",
    "host": "pc",
    "main_memory": True,
    "memory": "64 GiB",
    "compute": "2 TFLOP/s",
    "memory_bandwidth": "60 GB/s",
}
PC: dict[str, Any] = {
    "model": "gpt-oss-120b",
    "workload": {"prompt_tokens": 2048, "output_tokens": 256},
    "nodes": [GPU, CPU],
}


def choices(request: Request) -> list[Request]:
    """The question with every choice of blocks whose FFN lies in main memory, as far as that holds them."""
    cards = request.cluster.names[:-1]
    able = [b for b, block in enumerate(request.model.blocks) if can_leave(block, "ffn")]
    room = float(build_tables(request).capacity_bytes[-1])
    subsets = chain.from_iterable(combinations(able, k) for k in range(1, len(able) + 1))
    sizes = {b: alone(request.model.blocks[b], "ffn").weight_bytes for b in able}
    fitting = [chosen for chosen in subsets if sum(sizes[b] for b in chosen) <= room]
    return [request, *(replace(request, away=Away("ffn", chosen, "cpu", cards)) for chosen in fitting)]


@pytest.mark.parametrize("seed", some_quick(range(16), 4))
def test_the_best_of_all_choices_is_found(seed: int) -> None:
    """On hosts of one or two cards and a CPU the answer equals enumeration over choices, orders and cuts."""
    rng = np.random.default_rng(seed)
    data = offloading(rng, cards=1 + seed % 2, blocks=6) | {"objective": ("latency", "ttft", "request_time")[seed % 3]}
    data["workload"]["concurrency"] = 1
    request = read_request(data)
    best = min(best_split(choice) for choice in choices(request))
    if not np.isfinite(best):
        with pytest.raises(PlacementError):
            optimize(None, data, time_limit=20)
        return
    plan = optimize(None, data, time_limit=20).plan
    assert minimised(plan.objective.value, False) == pytest.approx(best, rel=1e-9)
    assert plan.objective.bound is None or plan.objective.bound <= best * (1 + 1e-9)


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
    best = min(best_split(choice) for one in (request, *pair) if one is not None for choice in choices(one))
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
    tables = build_tables(replace(request, away=away))
    assert tables.beside_s is not None
    each = tables.decode_s[0, 0, 1:7].sum()
    assert 0 < tables.beside_s[0, 2] < each
