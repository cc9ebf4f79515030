"""Intervals of predicted figures hold the value, widen with ignorance, and say when plans cannot be told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement import Plan, optimize
from placement.catalog.runtimes import runtime_aliases
from placement.costs.intervals import MEASURED, OF_FIGURE, cannot_tell, cost_notes, intervals_of, width_of
from placement.question.request import Request
from placement.readers.cluster.read import read_request

ONE = {"model": "llama-3.1-8b", "quantization": "q4_k_m"}
LAN = {"default": {"link": "ethernet-10g"}}


def question(runtime: str = "", **keys: object) -> Request:
    """One card with an 8 billion model."""
    nodes = [{"name": "gpu", "device": "rtx-3090", **keys}]
    return replace(read_request({**ONE, "nodes": nodes}), runtime=runtime)


def interval_of(request: Request, figure: str, value: float) -> tuple[float, float]:
    """The interval of one figure on the only card."""
    return intervals_of(request, ["gpu"], {figure: value})[figure]


@given(st.sampled_from(sorted({"", *runtime_aliases()})), st.sampled_from(sorted(OF_FIGURE)), st.floats(1e-6, 1e6))
def test_the_value_lies_inside(runtime: str, figure: str, value: float) -> None:
    """Every interval holds its value and is a factor wide, whatever the runtime."""
    low, high = interval_of(question(runtime), figure, value)
    assert 0 < low <= value <= high
    assert high / value == pytest.approx(value / low)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_a_request_is_a_prompt_and_a_generation(first: float, rest: float) -> None:
    """The interval of a whole request is between those of its two parts, each with its own width."""
    figures = {"ttft_s": first, "request_time_s": first + rest}
    low, high = intervals_of(question("llama.cpp"), ["gpu"], figures)["request_time_s"]
    widths = [width_of("llama.cpp", "consumer-ampere", figure) for figure in ("prompt", "generation")]
    assert (first + rest) * min(widths) <= high * (1 + 1e-9)
    assert high <= (first + rest) * max(widths) * (1 + 1e-9)
    assert low < first + rest


def test_what_is_known_has_no_interval() -> None:
    """Prices, counts and figures without a value have none."""
    assert intervals_of(question("llama.cpp"), ["gpu"], {"price_per_hour": 3.0, "in_flight": 2, "ttft_s": 0.0}) == {}


def test_the_nodes_in_use_decide() -> None:
    """An idle node of a class that is known less well widens nothing."""
    nodes = [{"name": "gpu", "device": "rtx-3090"}, {"name": "old", "device": "ryzen-ai-max-395-128gb"}]
    request = replace(question("llama.cpp"), cluster=read_request({**ONE, "nodes": nodes, "network": LAN}).cluster)
    alone, both = (intervals_of(request, used, {"ttft_s": 1.0})["ttft_s"] for used in (["gpu"], ["gpu", "old"]))
    assert both[0] < alone[0] < 1.0 < alone[1] < both[1]


def test_a_profile_is_the_best_source() -> None:
    """No catalog figure has a narrower interval than measured tables, and these have no note about estimates."""
    own = question(decode_seconds_per_block=0.001)
    low, high = interval_of(own, "time_per_token_s", 0.02)
    for runtime in ("", "llama.cpp"):
        wide = interval_of(question(runtime), "time_per_token_s", 0.02)
        assert high - low <= wide[1] - wide[0]
    assert interval_of(own, "ttft_s", 1.0)[1] < interval_of(question("llama.cpp"), "ttft_s", 1.0)[1]
    assert cost_notes(own, ["gpu"]) == ()


@pytest.mark.parametrize("kind", ["nvidia", "apple", "cpu", "edge"])
def test_a_runtime_narrows(kind: str) -> None:
    """Under a fitted runtime figures are narrower than under the generic profile, on every family of devices."""
    for figure in ("generation", "prompt"):
        assert 1.0 < width_of("llama.cpp", kind, figure) < width_of("", kind, figure)


def test_close_plans_cannot_be_told_apart() -> None:
    """Two plans count as different beyond the width of comparisons, which is narrower than the interval of a value."""
    request = question("llama.cpp")
    assert cannot_tell(request, 1.0, 1.05)
    assert not cannot_tell(request, 1.0, 1.5)
    assert cannot_tell(request, 1.05, 1.0)


def test_notes_say_whose_costs_they_are() -> None:
    """Without a runtime a note warns; with one it says how far figures may be off."""
    assert "no runtime named" in cost_notes(question(), ["gpu"])[0]
    assert "no costs are known of megatron" in cost_notes(question("megatron"), ["gpu"])[0]
    assert "costs of llama.cpp on consumer-ampere" in cost_notes(question("ollama"), ["gpu"])[0]
    assert cost_notes(question("ollama"), ["gpu"])[0].endswith("9 of 10 published runs")
    assert "of all runtimes: too few are of this one" in cost_notes(question("deepspeed"), ["gpu"])[0]
    assert "placement calibrate" in cost_notes(question("torch"), ["gpu"])[1]
    assert len(cost_notes(question("vllm"), ["gpu"])) == 1


def test_replicated_placements_have_them_too() -> None:
    """Rates and times of a replicated placement carry intervals, whose JSON is read back."""
    nodes = [{"name": "gpu", "device": "rtx-3090", "count": 3}]
    question = {**ONE, "nodes": nodes, "network": LAN, "placement": "replicated", "runtime": "petals"}
    plan = optimize(None, question, time_limit=0.5).plan
    assert {"served_tokens_per_s", "flow_tokens_per_s", "best_chain_s"} <= set(plan.intervals)
    assert all(low < plan.figures[name] < high for name, (low, high) in plan.intervals.items())
    assert any("costs of petals" in note for note in plan.notes)
    assert Plan.from_dict(plan.to_dict()).intervals == plan.intervals


def test_chains_of_a_swarm_have_them_too() -> None:
    """A chain's seconds and rate, and those of every chain of a front, as far off as measured ones."""
    figures = (("quick", 20.0, 20.0), ("slow", 30.0, 5.0))
    servers = [{"name": n, "blocks": "0:4", "ms_per_block": ms, "tokens_per_s": rate} for n, rate, ms in figures]
    round_trips = {"quick": {"client": 10, "slow": 10}, "slow": {"client": 90}}
    swarm = {"blocks": 4, "servers": servers, "rtt_ms": round_trips}
    plan = optimize(None, swarm, time_limit=0.5).plan
    assert set(plan.intervals) == {"time_per_token_s", "tokens_per_s"}
    assert plan.pareto
    for point in plan.pareto:
        low, high = point.intervals["time_per_token_s"]
        assert low < point.figures["time_per_token_s"] < high
        assert high / low == pytest.approx(MEASURED**2)
    assert Plan.from_dict(plan.to_dict()).pareto == plan.pareto


@pytest.mark.parametrize(("arrivals", "steady"), [(0.1, True), (0.22, False)])
def test_sessions_have_them_too(arrivals: float, steady: bool) -> None:
    """Response times grow by more than the servers' seconds, the more so near the rate; beyond it none is told."""
    server = {"memory_gb": 4.4, "tau_c_s": 2.0, "tau_p_s": 0.5}
    fleet = {
        "servers": [server],
        "num_blocks": 4,
        "block_gb": 1.0,
        "cache_gb_per_block_job": 0.1,
        "lambda_per_s": arrivals,
    }
    plan = optimize(None, fleet, time_limit=0.5).plan
    low, high = plan.intervals["rate_per_s"]
    assert high / low == pytest.approx(MEASURED**2)
    assert ("response_simulated_s" in plan.intervals) is steady
    if steady:
        mean = plan.figures.response_simulated_s
        low, high = plan.intervals["response_simulated_s"]
        assert low < mean / MEASURED < mean * MEASURED < high
    else:
        assert any("would not keep up" in note for note in plan.notes)
