"""Intervals of predicted figures hold the value, widen with ignorance, and say when plans cannot be told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.catalog.runtimes import runtime_aliases
from placement.costs.intervals import OF_FIGURE, cannot_tell, cost_notes, interval_of, width_of
from placement.question.request import Request
from placement.readers.cluster.read import read_request


def question(runtime: str = "", **keys: object) -> Request:
    """One card with an 8 billion model."""
    nodes = [{"name": "gpu", "device": "rtx-3090", **keys}]
    return replace(read_request({"model": "llama-3.1-8b", "quantization": "q4_k_m", "nodes": nodes}), runtime=runtime)


@given(st.sampled_from(sorted({"", *runtime_aliases()})), st.sampled_from(sorted(OF_FIGURE)), st.floats(1e-6, 1e6))
def test_the_value_lies_inside(runtime: str, figure: str, value: float) -> None:
    """Every interval holds its value and is a factor wide, whatever the runtime."""
    low, high = interval_of(question(runtime), figure, value)
    assert 0 < low <= value <= high
    assert high / value == pytest.approx(value / low)


def test_prices_are_known() -> None:
    """What is no time has no interval."""
    assert interval_of(question("llama.cpp"), "price_per_hour", 3.0) == (3.0, 3.0)


def test_a_profile_is_the_best_source() -> None:
    """Measured tables have a narrower interval than any catalog figure."""
    low, high = interval_of(question(decode_seconds_per_block=0.001), "time_per_token_s", 0.02)
    for runtime in ("", "llama.cpp"):
        wide = interval_of(question(runtime), "time_per_token_s", 0.02)
        assert high - low < wide[1] - wide[0]


def test_a_runtime_narrows() -> None:
    """Figures of a runtime that was fitted are narrower than those of the generic profile, on the same device."""
    for figure in ("generation", "prompt"):
        assert 1.0 < width_of("llama.cpp", "consumer-ampere", figure) < width_of("", "consumer-ampere", figure)


def test_close_plans_cannot_be_told_apart() -> None:
    """Two plans count as different beyond the width of comparisons, which is narrower than the interval of a value."""
    request = question("llama.cpp")
    assert cannot_tell(request, 1.0, 1.05)
    assert not cannot_tell(request, 1.0, 1.5)
    assert cannot_tell(request, 1.05, 1.0)


def test_notes_say_whose_costs_they_are() -> None:
    """Without a runtime a note warns; with one it says how far figures may be off."""
    assert "no runtime named" in cost_notes(question())[0]
    assert "no costs are known of megatron" in cost_notes(question("megatron"))[0]
    assert "costs of llama.cpp on consumer-ampere" in cost_notes(question("ollama"))[0]
