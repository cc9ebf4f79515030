"""Memory of a pass: published runs that fitted fit, and what grows must grow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.pipeline.terms import sequences_in_flight
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.costs.memory import capacity_bytes, workspace_bytes
from placement.costs.runtimes import runtime_costs
from placement.question.request import Request
from placement.question.workload import Workload
from placement.readers.cluster.read import read_request


def question(device: str, model: str, weights: str, prompt: int = 1, output: int = 512) -> Request:
    """One device."""
    nodes = [{"name": "gpu", "device": device}]
    request = read_request({"model": model, "quantization": weights, "nodes": nodes})
    return replace(request, workload=Workload(prompt, output, 1), runtime="llama.cpp")


@pytest.mark.parametrize(
    ("device", "model", "weights", "fits"),
    [
        ("rtx-4080", "llama-3-8b", "float16", True),  # github.com/XiongjieDai/GPU-Benchmarks-on-LLM-Inference: it ran
        ("rtx-4090", "llama-3-8b", "float16", True),
        ("rtx-3080-10gb", "llama-3-8b", "float16", False),  # the same table: out of memory
        ("rtx-4090", "llama-3-70b", "q4_k_m", False),
        ("rtx-6000-ada", "llama-3-70b", "q4_k_m", True),
    ],
)
def test_published_runs(device: str, model: str, weights: str, fits: bool) -> None:
    """Runs of llama.cpp that were published fit, and those that ran out of memory do not."""
    request = question(device, model, weights)
    tables = build_tables(request)
    held = sequences_in_flight(tables, [Span(0, 0, request.model.n_blocks)])
    assert (held >= 1) == fits


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5000), st.sampled_from(["llama.cpp", "vllm", "torch", ""]))
def test_longer_prompts_never_free_memory(prompt: int, runtime: str) -> None:
    """A pass of more tokens needs at least as much, and a chunk bounds it."""
    request = question("rtx-4090", "llama-3-8b", "q4_k_m")
    costs = runtime_costs(runtime)
    less, more = (workspace_bytes(request.model, Workload(n, 1, 1), costs) for n in (prompt, prompt + 100))
    assert less <= more
    limit = costs.memory.tokens
    if limit:
        assert workspace_bytes(request.model, Workload(10 * limit, 1, 1), costs) == workspace_bytes(
            request.model, Workload(limit, 1, 1), costs
        )


def test_the_generic_profile_keeps_its_reserve() -> None:
    """Without a runtime the device's reserve and four activations of the prompt are kept, as always."""
    request = question("rtx-4090", "llama-3-8b", "q4_k_m", prompt=512)
    node, model = request.cluster.nodes[0], request.model
    kept = node.reserve_bytes + 4 * 512 * 8192
    assert capacity_bytes(node, model, request.workload, runtime_costs("")) == pytest.approx(node.memory_bytes - kept)


def test_what_the_system_keeps_no_runtime_gets() -> None:
    """A Mac's part of unified memory, and a reserve that the file states, are kept under every runtime."""
    for runtime in ("llama.cpp", "vllm", ""):
        costs = runtime_costs(runtime)
        mac = question("m3-max-64gb", "llama-3-8b", "q4_k_m")
        assert capacity_bytes(mac.cluster.nodes[0], mac.model, mac.workload, costs) <= 48 * 2**30
        card = question("rtx-4090", "llama-3-8b", "q4_k_m")
        node = card.cluster.nodes[0]
        less = replace(node, reserve_bytes=node.reserve_bytes + 6 * 2**30)
        before, after = (capacity_bytes(one, card.model, card.workload, costs) for one in (node, less))
        assert before - after >= 5 * 2**30
