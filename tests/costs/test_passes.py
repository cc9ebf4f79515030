"""Passes of any mixture: between the roofline and the sum of its sides, and never cheaper for more work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.costs.engines import serving_costs
from placement.costs.passes import pass_seconds, span_costs
from placement.costs.rates import rates_of
from placement.costs.roofline import Work, pass_s
from placement.costs.runtimes import runtime_costs
from placement.question.request import Request
from placement.readers.cluster.read import read_request

QUESTION = read_request({"model": "llama-2-7b", "nodes": [{"name": "n", "device": "a100-80gb-sxm"}]})
LAYER = 5


def seconds(question: Request, tokens: int, sequences: int, context: int) -> float:
    """Of one decoder layer, every token of which sees as much context."""
    node = question.cluster.nodes[0]
    costs = span_costs(node, question.model, question.workload, LAYER, LAYER + 1)
    return pass_seconds(costs, tokens, sequences, float(tokens * context), float(sequences * context))


@given(tokens=st.integers(1, 8192), context=st.integers(0, 8192))
def test_between_the_roofline_and_the_sum(tokens: int, context: int) -> None:
    """Never faster than the roofline of the cost tables, never slower than its sides one after the other."""
    node, block = QUESTION.cluster.nodes[0], QUESTION.model.blocks[LAYER]
    rates = rates_of(node, QUESTION.model, runtime_costs(""))
    attention = tokens * context * block.attention_flops_per_token
    cache = block.kv_bytes(context)
    whole = pass_s(rates, node, block, Work(tokens, attention, cache))
    arithmetic = (tokens * block.flops_per_token + attention) / rates.flops_per_s
    memory = (block.read_bytes(tokens) + cache) / rates.cache_bytes_per_s
    found = seconds(QUESTION, tokens, 1, context)
    assert whole * (1.0 - 1e-3) <= found <= (arithmetic + memory + rates.overhead_s) * (1.0 + 1e-3)


@given(tokens=st.integers(1, 4096), context=st.integers(0, 4096), more=st.integers(0, 2000))
def test_more_work_takes_no_less_time(tokens: int, context: int, more: int) -> None:
    """More tokens, or more context, never make a pass faster."""
    now = seconds(QUESTION, tokens, 4, context)
    assert seconds(QUESTION, tokens + more, 4, context) >= now * (1.0 - 1e-12)
    assert seconds(QUESTION, tokens, 4, context + more) >= now * (1.0 - 1e-12)


def test_engines_reach_more_than_any_software() -> None:
    """Where the file states no efficiency, a pass of an engine is faster; where it does, the file's counts."""
    served, _, engine = serving_costs(QUESTION)
    assert engine
    assert seconds(served, 8, 8, 500) < seconds(QUESTION, 8, 8, 500)
    own = {"name": "n", "device": "a100-80gb-sxm", "efficiency": 0.4, "overhead": "9 us"}
    stated = read_request({"model": "llama-2-7b", "nodes": [own]})
    node = serving_costs(stated)[0].cluster.nodes[0]
    assert (node.compute_efficiency, node.bandwidth_efficiency) == (0.4, 0.4)
    assert node.overhead_s == pytest.approx(9e-6)


def test_other_runtimes_keep_their_costs() -> None:
    """A plan for llama.cpp is not served at an engine's rates."""
    question = read_request({"model": "llama-2-7b", "nodes": [{"name": "n", "device": "a100"}], "runtime": "llama.cpp"})
    served, costs, engine = serving_costs(question)
    assert not engine
    assert costs.name == "llama.cpp"
    assert served is question
