"""What memory was counted for is in the command: the context, and the sequences in flight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from placement.export.api import export_plan, refusals
from placement.plan.picture import Picture, Place
from placement.plan.plan import Figures, PlacedChain, PlacedGroup, PlacedSpan, Plan

from .plans import plan_of

ONE = (PlacedSpan("a", 0, 3), PlacedSpan("b", 3, 6))
TWO = (PlacedSpan("a", 0, 6), PlacedSpan("b", 0, 6))
CHAINS = (PlacedChain(("a",), (6,), capacity=3), PlacedChain(("b",), (6,), capacity=5))


def counted(*spans: PlacedSpan) -> Plan:
    """A plan for eight sequences of 3,000 tokens."""
    return replace(plan_of(spans, 4), context_tokens=3000, figures=Figures({"in_flight": 8}))


@pytest.mark.parametrize(
    ("runtime", "said"),
    [("llama.cpp", "-c 24000 -np 8"), ("vllm", "--max-model-len 3000"), ("sglang", "--context-length 3000")],
)
def test_the_context_is_that_of_the_plan(runtime: str, said: str) -> None:
    """By default a server makes room for what the model was made for, which need not fit; unknown, none is said."""
    exported = export_plan(counted(*ONE), runtime)
    assert said in exported.text
    assert any("held to 3,000 tokens" in line for line in exported.lost)
    assert f"{said.split()[0]} " not in export_plan(replace(counted(*ONE), context_tokens=0), runtime).text


def test_each_copy_has_its_own_sequences() -> None:
    """Of pipelines side by side a server holds those of its chain."""
    text = export_plan(replace(counted(*TWO), chains=CHAINS), "llama.cpp").text
    assert "-c 9000 -np 3" in text
    assert "-c 15000 -np 5" in text


def test_stages_on_one_host_are_one_command() -> None:
    """SGLang starts all stages on numbered GPUs of a host; elsewhere ranks meet at a host, not at a group's name."""
    text = export_plan(counted(*ONE), "sglang", at={"a": "2", "b": "3"}).text
    assert text.count("launch_server") == 1
    assert 'CUDA_VISIBLE_DEVICES="2,3"' in text
    assert "--nnodes" not in text
    pair = PlacedGroup("x-0..x-1", ("x-0", "x-1"))
    whole = replace(counted(PlacedSpan("x-0..x-1", 0, 6)), groups=(pair,))
    assert "--dist-init-addr x-0:5000" in export_plan(whole, "sglang").text


@pytest.mark.parametrize(("memory", "reason"), [(True, ""), (False, "alone on 'ram'")])
def test_an_embedding_alone_in_main_memory(memory: bool, reason: str) -> None:
    """That is where llama.cpp keeps it; alone on anything else it is refused."""
    picture = Picture(places=(Place("ram", host="pc", main_memory=memory), Place("gpu", host="pc")))
    plan = replace(counted(PlacedSpan("ram", 0, 1), PlacedSpan("gpu", 1, 6)), picture=picture)
    told = "; ".join(refusals(plan, "llama.cpp"))
    assert reason in told
    assert bool(reason) == bool(told)
