"""How long matrix products take: rows of experts, reading beside multiplying, unpacking, and what releases changed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.catalog.hardware import devices, lineage
from placement.costs.build import build_tables
from placement.costs.rates import Rates, rates_of
from placement.costs.runtimes import runtime_costs
from placement.question.request import Request
from placement.readers.cluster.read import read_request

SECONDS = st.floats(0, 1e3, allow_subnormal=False)
RELEASES = ("llama.cpp-2024", "llama.cpp-2025", "llama.cpp-2026", "llama.cpp")


def question(device: str, model: str, weights: str, prompt: int = 512) -> Request:
    """One device with a model and a prompt."""
    data = {"model": model, "quantization": weights, "nodes": [{"name": "one", "device": device}]}
    return read_request({**data, "workload": {"prompt_tokens": prompt, "output_tokens": 1}})


def rates(device: str, weights: str, runtime: str = "llama.cpp") -> Rates:
    """Rates of a device with Llama 8B."""
    request = question(device, "llama-3.1-8b", weights)
    return rates_of(request.cluster.nodes[0], request.model, runtime_costs(runtime))


@given(SECONDS, SECONDS, st.sampled_from([1.0, 1.5, 2.0, 4.0, math.inf]))
def test_reading_hides_behind_multiplying_in_part(arithmetic: float, memory: float, power: float) -> None:
    """Both together take at least the longer and at most the sum, whatever the power."""
    found = Rates(1.0, 1.0, 1.0, math.inf, power=power).busy_s(arithmetic, memory)
    assert max(arithmetic, memory) * (1 - 1e-9) <= found <= (arithmetic + memory) * (1 + 1e-9)


@given(st.floats(1, 1e4), st.floats(1, 8), st.floats(0, 200), st.floats(0, 20))
def test_rows_of_an_expert_are_never_slower_together(rows: float, more: float, half: float, small: float) -> None:
    """More rows take longer, and each of them less: tiles fill."""
    of = Rates(1.0, 1.0, 1.0, math.inf, expert_half_rows=half, expert_small_rows=small, power=2.0)
    few, many = of.expert_rows(rows + 1.0), of.expert_rows(more * rows + 1.0)
    assert few <= many * (1 + 1e-9)
    assert of.expert_rows(1.0) == 0.0  # hides behind the weights that are read for it


@pytest.mark.parametrize("device", ["ryzen-ai-max-395-128gb", "rtx-4090", "dgx-spark"])
def test_experts_lose_more_with_few_rows(device: str) -> None:
    """A prompt four times as long reads more tokens/s through experts, by far more than through dense layers."""
    gains = []
    for model, weights in (("qwen3-30b-a3b", "q4_k_m"), ("llama-3.1-8b", "q4_k_m")):
        short, long = (question(device, model, weights, tokens) for tokens in (64, 256))
        seconds = [build_tables(replace(one, runtime="llama.cpp-2025")).prefill_s.sum() for one in (short, long)]
        gains.append(4.0 * seconds[0] / seconds[1])
    assert gains[0] > gains[1] > 1.0
    assert gains[0] > 1.2


@pytest.mark.parametrize("device", ["ryzen-ai-max-395-128gb", "rtx-4090", "rtx-5090", "dgx-spark", "m3-ultra-512gb"])
def test_no_release_makes_prompts_of_experts_slower(device: str) -> None:
    """gpt-oss 20B's prompt is read at least as fast by every release as by the one before."""
    request = question(device, "gpt-oss-20b", "mxfp4_moe")
    seconds = [build_tables(replace(request, runtime=name)).prefill_s.sum() for name in RELEASES]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] < seconds[0]


def test_workstation_cards_read_like_their_generation() -> None:
    """Reading stays below the power limit: bandwidth is that of the consumer cards, compute that of workstations."""
    costs = runtime_costs("llama.cpp")
    for kind in ("ampere", "ada", "blackwell"):
        consumer, card = f"consumer-{kind}", f"workstation-{kind}"
        assert list(lineage(card, "bandwidth"))[:3] == [card, consumer, "consumer"]
        assert list(lineage(card))[:3] == [card, "workstation", "datacentre"]
        assert costs.figure(card, "quantized_compute") == costs.figure("workstation", "quantized_compute")
    assert costs.figure("workstation-ada", "bandwidth") == costs.figure("consumer-ada", "bandwidth")
    assert all(device.kind != "workstation" for device in devices().values())


def test_unpacking_bounds_quantized_weights_on_apple() -> None:
    """An M1 Max unpacks 4-bit weights slower than it could read them; 16 bits have nothing to unpack."""
    quantized, wide = rates("m1-max-64gb", "q4_k_m"), rates("m1-max-64gb", "float16")
    weights = 8e9
    assert 2 * weights / quantized.decode_flops_per_s > 4.9e9 / quantized.weights_bytes_per_s
    assert 2 * weights / wide.decode_flops_per_s < 16e9 / wide.weights_bytes_per_s


def test_processors_have_no_tiles_to_fill() -> None:
    """The rows that a GPU's tiles cost are no matter of CPUs and boards."""
    for device in ("cpu-ddr5-2ch-64gb", "raspberry-pi-5-8gb"):
        found = rates(device, "q4_k_m")
        assert (found.half_rows, found.expert_half_rows) == (0, 0)


@pytest.mark.parametrize("own", [{}, {"efficiency": {"compute": 0.1}}])
def test_formats_without_tiles_multiply_slower_on_processors(own: dict[str, object]) -> None:
    """q4_1 has half of q8_0's rate of products on a CPU, beside an efficiency of the file too; on GPUs all of it."""
    for device, share in (("cpu-ddr5-2ch-64gb", 0.53), ("rtx-3090", 1.0)):
        found = []
        for weights in ("q4_1", "q8_0"):
            data = {"model": "llama-3.1-8b", "quantization": weights, "nodes": [{"name": "a", "device": device, **own}]}
            request = read_request(data)
            found.append(rates_of(request.cluster.nodes[0], request.model, runtime_costs("llama.cpp")).flops_per_s)
        assert found[0] == pytest.approx(share * found[1])


def test_old_cards_had_no_graphs() -> None:
    """Turing and Volta launched every kernel by itself until July 2026; no release is faster than the next."""
    for kind in ("turing", "volta", "consumer-ampere"):
        overheads = [runtime_costs(name).figure(kind, "overhead_us") or 0.0 for name in RELEASES]
        assert overheads == sorted(overheads, reverse=True)
    old, new = (runtime_costs("llama.cpp-2026").figure(kind, "overhead_us") for kind in ("turing", "consumer-ampere"))
    assert (old or 0.0) > (new or 0.0)
