"""CPUs under llama.cpp: attention in kernels of its own, weights no faster than cores unpack them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.costs.passes import pass_seconds, span_costs
from placement.costs.rates import rates_of
from placement.costs.roofline import Work, pass_s
from placement.costs.runtimes import class_of, runtime_costs
from placement.kinds.pipeline.imported import import_split
from placement.question.cluster import Node
from placement.question.request import Request
from placement.readers.cluster.read import read_request

LAYER = 5
COSTS = runtime_costs("llama.cpp")


def desktop(**more: Any) -> dict[str, Any]:
    """A card before the main memory of a PC whose CPU has no name in the catalog."""
    cpu = {"name": "cpu", "host": "pc", "main_memory": True, "memory": "90 GiB", "memory_bandwidth": "80 GB/s"}
    gpu = {"name": "gpu", "device": "rtx-4090", "host": "pc", "memory": "18 GiB"}
    nodes = [gpu, {**cpu, "compute": "1 TFLOP/s", "cores": 8}]
    return {"model": "qwen3-32b", "quantization": "q4_k_m", "nodes": nodes, "runtime": "llama.cpp", **more}


QUESTION = read_request(desktop())
CPU = QUESTION.cluster.nodes[1]


def step_s(question: Request, *, node: Node = CPU, cores: float = 1.0, bandwidth: float = 1.0) -> float:
    """Seconds of one layer and token on a CPU with so many times the cores and bandwidth."""
    width = node.memory_bandwidth_bytes_per_s * bandwidth
    node = replace(node, cores=node.cores * cores, memory_bandwidth_bytes_per_s=width)
    rates = rates_of(node, question.model, COSTS)
    return pass_s(rates, node, question.model.blocks[LAYER], Work(1, 0.0, 0.0, decode=True))


def test_main_memory_is_a_cpu() -> None:
    """Whatever format its compute is stated in."""
    assert class_of(CPU) == "cpu"
    assert class_of(replace(CPU, main_memory=False)) == "gpu"


@given(context=st.integers(1, 100_000))
def test_attention_of_a_step_is_one_in_tables_and_passes(context: int) -> None:
    """What a context adds to a decode step is the same in the roofline and in passes of any mixture."""
    block = QUESTION.model.blocks[LAYER]
    rates = rates_of(CPU, QUESTION.model, COSTS)
    costs = span_costs(CPU, QUESTION.model, QUESTION.workload, LAYER, LAYER + 1, COSTS)
    attention, cache = context * block.attention_flops_per_token, block.kv_bytes(context)
    full = pass_s(rates, CPU, block, Work(1, attention, cache, decode=True))
    empty = pass_s(rates, CPU, block, Work(1, 0.0, 0.0, decode=True))
    passes = [pass_seconds(costs, 1, 1, float(seen), float(seen)) for seen in (context, 0)]
    assert passes[0] - passes[1] == pytest.approx(full - empty, rel=1e-6)


def test_few_cores_do_not_fill_a_wide_memory() -> None:
    """More bandwidth does not help them, more cores do; weights of 16 bits need no unpacking, nor what was measured."""
    assert step_s(QUESTION, bandwidth=2.0) == step_s(QUESTION)
    assert step_s(QUESTION, cores=1.3) < step_s(QUESTION)
    measured = replace(CPU, bandwidth_efficiency=0.9)
    assert step_s(QUESTION, node=measured, bandwidth=2.0) < step_s(QUESTION, node=measured) < step_s(QUESTION)
    wide = read_request(desktop(quantization="float16"))
    assert step_s(wide, bandwidth=2.0) < step_s(wide)


@pytest.mark.parametrize(("tokens", "better"), [(1_000, "layers"), (24_000, "ffn")])
def test_long_contexts_turn_the_choice_round(tokens: int, better: str) -> None:
    """Whole layers in main memory while contexts are short; the FFN of more of them when attention there grows slow.

    As measured with llama.cpp on an i5-12400F beside an RTX 6000 Ada (facts in benchmarks/plan_space/decisions.py).
    """
    work = {"prompt_tokens": tokens, "output_tokens": 64}
    request = replace(read_request(desktop(workload=work)), runtime="", costs="llama.cpp")
    away = "|".join(map(str, range(36)))
    splits = {
        "layers": ("-ngl 42", ("cpu", "gpu")),
        "ffn": (rf"-ngl 99 -ot 'blk\.({away})\.ffn_(up|down|gate)\.=CPU'", ("gpu",)),
    }
    seconds = {
        name: import_split(split, "llama.cpp", request, nodes=nodes)[0].figures.time_per_token_s
        for name, (split, nodes) in splits.items()
    }
    assert min(seconds, key=seconds.__getitem__) == better
