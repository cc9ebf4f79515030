"""Names of runtimes: an alias or a release is the runtime that it runs, in its rules as in its costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placement.catalog.runtimes import meanings, runtime_aliases, spelt
from placement.errors import InputError
from placement.export import make_runtime
from placement.kinds.rules import exporter_name, written_for
from placement.kinds.runtimes import under_runtime
from placement.kinds.space.variants import holds_of, variants_of
from placement.question.request import Request
from placement.readers.cluster.read import read_request

NODES: list[dict[str, Any]] = [
    {"name": "a", "device": "rtx-3090", "host": "tower"},
    {"name": "b", "device": "rtx-4090", "host": "tower"},
    {"name": "main", "device": "cpu-ddr5-2ch-64gb", "host": "tower", "main_memory": True},
]
LINK = {"bandwidth": "20 GB/s", "latency": "10 us"}


def asked(runtime: str) -> Request:
    """Two cards and the main memory of one host, under a runtime."""
    return read_request(
        {"model": "llama-3.1-8b", "nodes": NODES, "network": {"within": {"default": LINK}}, "runtime": runtime}
    )


def test_a_name_means_itself_before_what_it_inherits_from() -> None:
    """`sglang` and `accelerate` inherit costs only: their own exporters win; a release has none of its own."""
    assert list(meanings("ollama")) == ["llama.cpp"]
    assert list(meanings("llama.cpp-rocm-2025")) == ["llama.cpp-rocm-2025", "llama.cpp-rocm", "llama.cpp"]
    assert [exporter_name(name) for name in ("ollama", "llama.cpp-2024", "vllm-v0")] == ["llama.cpp"] * 2 + ["vllm"]
    assert [exporter_name(name) for name in ("sglang", "accelerate", "exo")] == ["sglang", "accelerate", "exo"]
    assert [exporter_name(name) for name in ("", "mlx", "generic", "nobody")] == [""] * 4


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("vLLM", "vllm"), ("llama-cpp", "llama.cpp"), ("LM Studio", "lm-studio"), ("SGLang", "sglang"), ("x", "x")],
)
def test_case_and_signs_do_not_matter(spelling: str, name: str) -> None:
    """People write runtimes as their makers do; in a file and for an export."""
    assert spelt(spelling) == name
    assert asked(spelling).runtime == name
    assert written_for(spelling) == (exporter_name(name) or name)


@pytest.mark.parametrize(
    ("runtime", "weights", "told"),
    [("ollama", "awq", True), ("llama.cpp", "q4_k_m", False), ("llama.cpp", "mxfp4", False), ("vllm", "awq", False)],
)
def test_weights_that_a_runtime_has_no_files_of(runtime: str, weights: str, told: bool) -> None:
    """A note names the format: sizes are those that were asked for, and nothing could load them."""
    request = read_request({"model": "llama-3.1-8b", "nodes": NODES[:1], "runtime": runtime, "quantization": weights})
    assert any("loads GGUF files" in note and weights in note for note in request.model.notes) == told


@pytest.mark.parametrize("name", sorted(runtime_aliases()))
def test_a_plan_is_written_for_every_name(name: str) -> None:
    """In the words of the runtime that it means; what only costs are known of is refused by its name."""
    if exporter_name(name):
        assert written_for(name) == exporter_name(name)
        return
    with pytest.raises(InputError, match=f"no plan is written for {name}, of which only the costs are known"):
        written_for(name)


@pytest.mark.parametrize("name", sorted(runtime_aliases()))
def test_every_alias_has_the_rules_of_its_runtime(name: str) -> None:
    """The same questions stand for both, costs and a note apart; what only costs are known of holds any plan."""
    meant, request = exporter_name(name), asked(name)
    if not meant:
        assert holds_of(request) is None
        assert under_runtime(request) == (replace(request, runtime="", costs=name),)
        return
    known = replace(request, runtime=meant)
    assert holds_of(request) == make_runtime(meant).holds
    assert [variant.request.away for variant in variants_of(request)[0]] == [
        variant.request.away for variant in variants_of(known)[0]
    ]
    for mine, own in zip(under_runtime(request), under_runtime(known), strict=True):
        assert (mine.costs, own.costs) == (name, meant)
        assert mine.constraints == own.constraints
        assert mine.model == own.model
        assert mine.cluster.nodes == own.cluster.nodes
        assert (name == meant) == (mine.cluster.notes == own.cluster.notes)
