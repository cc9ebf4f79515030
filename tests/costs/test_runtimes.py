"""Costs by runtime: what is looked up, what inherits, and what must hold of every entry of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.catalog import hardware
from placement.catalog.hardware import lineage
from placement.catalog.runtimes import runtime_aliases, runtime_at, stored_format
from placement.costs.build import build_tables
from placement.costs.links import cut_bytes, prompt_overlap, vocabulary
from placement.costs.rates import rates_of
from placement.costs.runtimes import GENERIC, KEYS, class_of, runtime_catalog, runtime_costs
from placement.errors import InputError
from placement.question.cluster import Node
from placement.question.request import Request
from placement.readers.cluster.read import read_request

SHARES = ("bandwidth", "quantized_bandwidth", "cache_bandwidth", "compute", "quantized_compute", "serial_share")


def question(device: str = "rtx-3090", weights: str = "q4_k_m", **keys: object) -> Request:
    """One device with an 8 billion model."""
    entry = {"name": "gpu", "device": device, **keys}
    return read_request({"model": "llama-3.1-8b", "quantization": weights, "nodes": [entry]})


def test_a_class_with_few_measurements_inherits() -> None:
    """A figure is that of the class, else of its parents, else of the runtime that is inherited from."""
    costs = runtime_costs("llama.cpp")
    assert list(lineage("consumer-blackwell"))[:3] == ["consumer-blackwell", "consumer", "nvidia"]
    assert costs.figure("consumer-blackwell", "bandwidth") == costs.figure("consumer", "bandwidth")
    assert runtime_costs("sglang").figure("hbm", "bandwidth") == runtime_costs("vllm").figure("hbm", "bandwidth")


def _by_class(figures: Mapping[str, Any]) -> list[Mapping[str, float]]:
    """Figures of a number format, those of all classes first, then those of one class."""
    of_classes = [value for value in figures.values() if isinstance(value, Mapping)]
    return [{key: value for key, value in figures.items() if not isinstance(value, Mapping)}, *of_classes]


@pytest.mark.parametrize("name", runtime_catalog())
def test_no_share_is_above_one(name: str) -> None:
    """No efficiency of any runtime, class or format is above 1, no time is negative, and every key is known."""
    costs = runtime_catalog()[name]
    tables = [*costs.fitted, *costs.chain]
    formats = [entry for of_format in costs.formats.values() for entry in _by_class(of_format)]
    for figures in [*(entry for table in tables for entry in table.values()), *formats]:
        assert set(figures) <= set(KEYS)
        assert all(value >= 0 for value in figures.values())
        assert all(0 < figures[key] <= 1 for key in SHARES if key in figures)
    assert costs.source


@pytest.mark.parametrize("name", runtime_catalog())
@pytest.mark.parametrize("device", sorted({entry.kind: name for name, entry in hardware.devices().items()}.values()))
def test_every_runtime_costs_every_class(name: str, device: str) -> None:
    """Tables of every runtime on every class of device are finite and positive."""
    tables = build_tables(replace(question(device), runtime=name))
    assert np.isfinite(tables.decode_s).all()
    assert (tables.decode_s[0, 0, 1:] > 0).all()
    assert (tables.prefill_s[0, 1:] > 0).all()


def test_without_a_runtime_nothing_changes() -> None:
    """The generic costs are a plain roofline of the node's own figures."""
    request = question()
    node = request.cluster.nodes[0]
    rates = rates_of(node, request.model, runtime_costs(""))
    assert rates.weights_bytes_per_s == node.memory_bandwidth_bytes_per_s * node.bandwidth_efficiency
    assert rates.overhead_s == node.overhead_s
    assert rates.half_rows == rates.expert_overhead_s == rates.serial_share == 0
    assert runtime_costs("").name == GENERIC


def test_the_file_wins_over_the_runtime() -> None:
    """An efficiency that the user states replaces the runtime's; what the user left out stays the runtime's."""
    costs = runtime_costs("llama.cpp")
    usual, stated = question(), question(efficiency={"bandwidth": 0.5})
    plain = rates_of(usual.cluster.nodes[0], usual.model, costs)
    own = rates_of(stated.cluster.nodes[0], stated.model, costs)
    assert own.cache_bytes_per_s == pytest.approx(0.5 * 936e9)
    assert own.flops_per_s == plain.flops_per_s


def test_measured_tables_win_over_everything() -> None:
    """What `placement profile` measured is used as it is, whatever the runtime."""
    request = question(decode_seconds_per_block=0.002, prefill_seconds_per_block=0.5)
    for name in ("", "llama.cpp", "vllm"):
        tables = build_tables(replace(request, runtime=name))
        assert (tables.decode_s == 0.002).all()
        assert (tables.prefill_s == 0.5).all()


def test_names_and_aliases() -> None:
    """ollama costs what llama.cpp does; an unknown name is refused with the nearest one."""
    assert runtime_costs("ollama") is runtime_costs("llama.cpp")
    with pytest.raises(InputError, match="did you mean 'vllm'"):
        runtime_costs("vlm")
    assert (
        read_request(
            {"model": "llama-3.1-8b", "runtime": "ollama", "nodes": [{"name": "a", "device": "rtx-3090"}]}
        ).runtime
        == "ollama"
    )
    assert set(runtime_aliases().values()) == set(runtime_catalog())


def test_files_of_llama_cpp_hold_another_mix() -> None:
    """MXFP4 models run from GGUF files under llama.cpp, which keep in q8_0 what the checkpoint has in bfloat16."""
    assert stored_format("llama.cpp", "mxfp4") == stored_format("ollama", "MXFP4") == "mxfp4_moe"
    assert stored_format("vllm", "mxfp4") == "mxfp4"
    assert stored_format("", "mxfp4") == "mxfp4"


def test_a_node_without_a_device_has_the_class_that_it_looks_like() -> None:
    """Only float32 and a slow memory: a board; a faster one: a CPU; tensor formats: a GPU."""
    board = Node("a", 8e9, compute_flops_per_s={"float32": 48e9}, memory_bandwidth_bytes_per_s=12.8e9)
    assert class_of(board) == "board"
    assert class_of(replace(board, memory_bandwidth_bytes_per_s=80e9, memory_bytes=64e9)) == "cpu"
    assert class_of(replace(board, compute_flops_per_s={"float16": 1e13})) == "gpu"


def test_hops_are_told_from_networks() -> None:
    """Cards of one host cost a copy, cards behind a network a call; llama.cpp's logits return to the client."""
    nodes = [{"name": "gpu", "device": "rtx-3090", "count": 2}]
    host = {"model": "llama-3.1-8b", "quantization": "q4_k_m", "nodes": nodes}
    near = build_tables(replace(read_request(host), runtime="llama.cpp"))
    far = build_tables(
        replace(read_request({**host, "network": {"default": {"link": "ethernet-1g"}}}), runtime="llama.cpp")
    )
    assert near.latency_s[0, 1] < 1e-3 < far.latency_s[0, 1]
    request = read_request(host)
    assert vocabulary(request.model) == pytest.approx(128256, rel=1e-3)
    assert cut_bytes(request.model, runtime_costs("llama.cpp"))[-1] == pytest.approx(4 * 128256, rel=1e-3)
    assert cut_bytes(request.model, runtime_costs("vllm"))[-1] == 4.0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20_000))
def test_overlap_grows_with_the_prompt(tokens: int) -> None:
    """One chunk overlaps with nothing; more chunks overlap more, and never all of the prompt."""
    costs = runtime_costs("llama.cpp")
    assert prompt_overlap(tokens, costs) <= prompt_overlap(tokens + 512, costs) < costs.hops.overlap
    assert prompt_overlap(min(tokens, costs.hops.chunk_tokens), costs) == 0.0


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["llama.cpp", "vllm", "torch", "distributed-llama"]), st.integers(1, 64), st.booleans())
def test_more_work_never_takes_less(runtime: str, batch: int, wide: bool) -> None:
    """A larger batch never takes less time than a smaller one, and a longer prompt never less than a shorter one."""
    request = question(weights="bfloat16" if wide else "q4_k_m")
    work = replace(request.workload, concurrency=batch + 1)
    tables = build_tables(replace(request, workload=work, runtime=runtime), sizes=sorted({1, batch, batch + 1}))
    assert (np.diff(tables.decode_s.sum(axis=2)[:, 0]) >= 0).all()
    longer = replace(request.workload, prompt_tokens=request.workload.prompt_tokens + 64 * batch)
    more = build_tables(replace(request, workload=longer, runtime=runtime))
    assert more.prefill_s.sum() >= build_tables(replace(request, runtime=runtime)).prefill_s.sum()


def test_slices_of_every_layer_are_one_node() -> None:
    """distributed-llama runs what one group holds: the question becomes one of a single node, with its costs."""
    node = {"name": "pi", "device": "raspberry-pi-5-8gb", "tensor_parallel": 2, "interconnect": {"link": "ethernet-1g"}}
    request = read_request({"model": "llama-2-7b", "quantization": "q4_0", "runtime": "dllama", "nodes": [node]})
    plain = build_tables(request).decode_s[0].sum()
    assert plain == pytest.approx(1 / 2.9286, rel=0.35)  # github.com/b4rtaz/distributed-llama, README: 2 boards


def test_stars_cost_pairs() -> None:
    """Where one root speaks with all others in turn, more devices cost more than a ring's latency says."""
    seconds = []
    for many in (2, 4, 8):
        node = {
            "name": "pi",
            "device": "raspberry-pi-5-8gb",
            "tensor_parallel": many,
            "interconnect": {"link": "ethernet-1g"},
        }
        request = read_request({"model": "llama-2-7b", "quantization": "q4_0", "runtime": "dllama", "nodes": [node]})
        seconds.append(build_tables(request).decode_s[0].sum())
    assert seconds[1] < seconds[0]
    assert seconds[2] > 0.7 * seconds[1]  # twice the devices bring nearly nothing


def test_a_runtime_as_it_was() -> None:
    """A measurement has the costs of the release of its day, a cluster file those of today."""
    assert runtime_at("llama.cpp", "2024-05") == "llama.cpp-2024"
    assert runtime_at("ollama", "2023") == runtime_at("llama.cpp", "2024-01") == "llama.cpp-2023"
    assert runtime_at("llama.cpp", "2025-09") == runtime_at("llama.cpp", "2026-01") == "llama.cpp-2025"
    assert runtime_at("llama.cpp", "2026-02") == runtime_at("llama.cpp", "2026-07") == "llama.cpp-2026"
    assert runtime_at("llama.cpp", "2026-08") == runtime_at("llama.cpp", "") == "llama.cpp"
    assert runtime_at("llama.cpp-rocm", "2025-08") == "llama.cpp-rocm-2025"
    assert runtime_at("llama.cpp-rocm", "2026-01") == "llama.cpp-rocm"
    assert runtime_at("accelerate", "2022-09") == "accelerate"
    assert runtime_costs("llama.cpp-2024").family == "llama.cpp"


def test_what_differs_from_the_measured_runtime_wins_over_its_fit() -> None:
    """A release has its own figures where it states some, those of the release after it, then the fitted ones."""
    now, before, oldest = (runtime_costs(name) for name in ("llama.cpp", "llama.cpp-2025", "llama.cpp-2024"))
    assert before.figure("strix", "quantized_compute") == oldest.figure("strix", "quantized_compute") == 0.17
    assert 0.2 < (now.figure("strix", "quantized_compute") or 0.0) < 0.3
    rows = [costs.figure("strix", "expert_half_rows") or 0.0 for costs in (oldest, before, now)]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows)) == 3
    assert before.figure("strix", "bandwidth") == now.figure("strix", "bandwidth")
    assert before.figure("consumer-ampere", "quantized_compute") == now.figure("consumer-ampere", "quantized_compute")


def test_prompts_on_strix_halo_hang_on_the_backend() -> None:
    """Of one build on one machine, Llama 7B in Q4_0: 869 tokens/s with RADV, 349 with ROCm without hipBLASLt.

    As published in September 2025 (github.com/kyuz0/amd-strix-halo-toolboxes, benchmark/results).
    """
    request = question("ryzen-ai-max-395-128gb")
    long = replace(request, workload=replace(request.workload, prompt_tokens=512, output_tokens=1))
    names = ("llama.cpp-2025", "llama.cpp-rocm-2025")
    vulkan, rocm = (build_tables(replace(long, runtime=name)).prefill_s.sum() for name in names)
    assert 1.5 < rocm / vulkan < 2.7


def test_many_cores_wait_for_each_other() -> None:
    """A block takes longer on more cores of one memory; a file's cores win over the catalog's, these over a guess."""
    node = {"name": "cpu", "device": "epyc-genoa-12ch", "compute": {"float32": "6.3 TFLOP/s"}}
    bare = {key: value for key, value in node.items() if key != "device"}
    bare |= {"memory": "384 GiB", "memory_bandwidth": "460.8 GB/s"}
    seconds, counts = [], []
    for entry in ({**node, "cores": 32}, {**node, "cores": 64}, node, bare, {**node, "overhead": "20 us"}):
        request = read_request(
            {"model": "llama-3-8b", "quantization": "q4_k_m", "runtime": "llama.cpp", "nodes": [entry]}
        )
        counts.append(request.cluster.nodes[0].cores)
        seconds.append(float(build_tables(request).decode_s[0].sum()))
    assert counts == [32, 64, 96, 0, 96]
    assert seconds[1] - seconds[0] == pytest.approx(34 * 32 * 5.2e-6, rel=1e-6)
    assert seconds[4] < seconds[0] < seconds[1] < seconds[2]  # the file's own overhead has it all


@pytest.mark.parametrize("device", ["rtx-3090", "m1-max-64gb"])
def test_contexts_cost_more_without_fused_attention(device: str) -> None:
    """With equal launches, a release without fused attention is as fast on short contexts, slower on longer ones."""
    ratios = []
    for tokens in (64, 1024, 8192):
        request = question(device, overhead="30 us")
        long = replace(request, workload=replace(request.workload, prompt_tokens=tokens, output_tokens=1))
        old, new = (build_tables(replace(long, runtime=name)) for name in ("llama.cpp-2024", "llama.cpp"))
        ratios.append((old.prefill_s.sum() / new.prefill_s.sum(), old.decode_s.sum() / new.decode_s.sum()))
    prompts, steps = zip(*ratios, strict=True)
    assert 1.0 < prompts[0] < 1.02
    assert 1.0 < steps[0] < 1.02
    assert list(prompts) == sorted(prompts)
    assert list(steps) == sorted(steps)
    assert prompts[-1] > 1.2
    assert steps[-1] > 1.1


def test_launches_cost_more_in_old_releases() -> None:
    """On CUDA a block costs more launches before operations were fused, and more still before CUDA graphs."""
    request = question("rtx-3090")
    names = ("llama.cpp", "llama.cpp-2024", "llama.cpp-2023")
    new, old, oldest = (float(build_tables(replace(request, runtime=name)).decode_s[0].sum()) for name in names)
    assert new + 34 * 20e-6 < old < oldest - 34 * 10e-6
