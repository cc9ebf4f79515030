"""Of plans that predictions cannot tell apart the simplest is taken, and the best found stays told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placement import optimize
from placement.kinds.asked import ask
from placement.optimize import Result, Search
from placement.optimize import answer as answer_to
from placement.plan.plan import PlacedSpan, Plan

CARDS = [
    {"name": "large", "device": "rtx-3090", "region": "pc"},
    {"name": "quick", "device": "rtx-3090-ti", "memory": "4 GiB", "region": "pc"},
]
PCIE = {"default": {"link": "pcie-4-x16"}}


def question(nodes: list[dict[str, Any]], runtime: str) -> dict[str, Any]:
    """An 8 billion model on a few cards of one host."""
    return {
        "model": "llama-3.1-8b",
        "quantization": "q4_k_m",
        "workload": {"prompt_tokens": 64, "output_tokens": 64},
        "nodes": nodes,
        "network": PCIE,
        **({"runtime": runtime} if runtime else {}),
    }


def solved(nodes: list[dict[str, Any]], runtime: str, start: Plan | None = None, **more: Any) -> Result:
    """The answer."""
    return optimize(None, question(nodes, runtime), time_limit=1.0, start=start, **more)


@pytest.fixture(scope="module")
def answer() -> Plan:
    """The answer on a card that could do it alone and one that is a little quicker, but small."""
    return solved(CARDS, "llama.cpp").plan


def test_one_card_that_is_nearly_as_fast(answer: Plan) -> None:
    """One card is taken where two are a little faster; the two are named, with both values."""
    assert [span.node for span in answer.placement] == ["large"]
    note = next(note for note in answer.notes if "no difference" in note)
    assert note.startswith("one device instead of 2")
    assert "the best found is" in note
    assert "quick=" in note
    assert answer.objective.bound is not None
    assert answer.objective.bound < answer.objective.value <= 1.1 * answer.objective.bound
    assert not answer.objective.proven_optimal


def test_without_a_runtime_the_fastest_is_taken() -> None:
    """Estimates by device class are nobody's measurements: the optimum is the answer, as it is found."""
    plan = solved(CARDS, "").plan
    assert plan.objective.proven_optimal
    assert not any("no difference" in note for note in plan.notes)


def unlike(**more: Any) -> dict[str, Any]:
    """A 32 billion model that two of three cards hold, each on a host of its own; no runtime is named."""
    devices = {"a": "rtx-3060-12gb", "b": "rtx-4060-ti-16gb", "c": "rtx-4070"}
    return {
        "model": "qwen2.5-32b",
        "quantization": "q4_k_m",
        "workload": {"context": 2048},
        "nodes": [{"name": name, "device": device, **more} for name, device in devices.items()],
        "network": {"default": {"link": "ethernet-10g"}},
    }


def test_no_third_device_for_an_embedding_alone() -> None:
    """Without a runtime too: the embedding elsewhere saves 1 %, which estimates cannot tell; the best found is told."""
    plan = optimize(None, unlike(), time_limit=5.0).plan
    assert [span.node for span in plan.placement] == ["c", "a"]
    note = next(note for note in plan.notes if "no difference" in note)
    assert note.startswith("2 devices instead of 3")
    assert "estimates by device class tell plans apart from 10% on" in note
    assert "the best found is b=0:1,c=1:40,a=40:66, proven optimal" in note
    assert plan.objective.bound is not None
    assert plan.objective.bound < plan.objective.value < 1.02 * plan.objective.bound
    assert not plan.objective.proven_optimal


@pytest.mark.parametrize("ends", [True, False])
def test_what_is_no_end_or_is_measured_stays(ends: bool) -> None:
    """A device with layers is in the best plan for a reason, and one's own measurements are no estimates."""
    more: dict[str, Any] = {"decode_seconds_per_block": 0.001} if ends else {"memory": "9 GiB"}
    plan = optimize(None, unlike(**more), time_limit=5.0).plan
    assert plan.objective.proven_optimal
    assert not any("no difference" in note for note in plan.notes)


def test_a_yardstick_shows_its_own_split() -> None:
    """A split that is asked for by name stays as it is."""
    nodes = [CARDS[0], {**CARDS[1], "memory": "24 GiB"}]
    assert len(solved(nodes, "llama.cpp", solver="uniform").plan.placement) == 2


def test_what_runs_is_kept_where_nothing_better_can_be_told() -> None:
    """Of equal cards in use, those that hold the blocks already stay."""
    nodes = [{"name": name, "device": "rtx-3060-12gb", "memory": "4 GiB", "region": "pc"} for name in "abc"]
    first = solved(nodes, "llama.cpp").plan
    others = [name for name in "abc" if name not in {span.node for span in first.placement}]
    renamed = dict(zip([span.node for span in first.placement], [*others, first.placement[0].node], strict=False))
    spans = tuple(PlacedSpan(renamed[span.node], span.start, span.stop) for span in first.placement)
    running = replace(first, placement=spans)
    assert solved(nodes, "llama.cpp", running).plan.placement == running.placement


def test_a_runner_up_that_cannot_be_told_apart() -> None:
    """One card or two of a kind: the plan on one says that two are as good."""
    nodes = [{"name": name, "device": "rtx-3090", "region": "pc"} for name in "ab"]
    plan = solved(nodes, "llama.cpp").plan
    assert len(plan.placement) == 1
    assert any(note.startswith("one device or 2") for note in plan.notes)


def test_the_best_itself_can_be_asked_for(answer: Plan) -> None:
    """A comparison with the best found, as in `placement score`, is with the best itself."""
    found = answer_to(ask(None, question(CARDS, "llama.cpp")), Search(seconds=1.0, simplest=False)).plan
    assert found.objective.proven_optimal
    assert found.objective.value < answer.objective.value
    assert found.objective.value == pytest.approx(answer.objective.bound)


def test_a_clear_difference_is_kept() -> None:
    """A card that is much faster stays in the plan, though one device would do."""
    nodes = [CARDS[0] | {"device": "rtx-3060-12gb"}, {**CARDS[1], "device": "rtx-4090"}]
    plan = solved(nodes, "llama.cpp").plan
    assert len(plan.placement) == 2
    assert plan.objective.proven_optimal
