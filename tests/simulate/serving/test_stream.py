"""Throughput of a plan is what the closed stream is served, simulated; the estimate is held to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.costs.build import build_tables
from placement.costs.engines import serving_costs
from placement.costs.passes import pass_seconds, span_costs
from placement.costs.stream import passes_of
from placement.errors import InputError
from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.question.workload import Workload
from placement.readers.cluster.read import read_request
from placement.simulate.serving import EngineOptions, serve, serving_of
from placement.simulate.serving.bound import most_tokens_per_s
from placement.simulate.serving.stream import closed_stream, engines_of_copies, stream_options, stream_requests

from .helpers import gpu, measured, planned, random_requests

LINK = {"default": {"bandwidth": "10 Gbit/s", "latency": "100 us"}}


def question(nodes: int, prompt: int, output: int, concurrency: int, **more: Any) -> dict[str, Any]:
    work = {"prompt_tokens": prompt, "output_tokens": output, "concurrency": concurrency}
    return gpu("llama-2-13b", "a100-40gb-sxm", nodes, workload=work, objective="throughput", network=LINK, **more)


CASES = [(1, 64, 64, 1), (1, 512, 128, 16), (2, 128, 256, 32), (3, 1024, 64, 8), (4, 64, 32, 16)]


@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_near_the_simulated_stream(case: tuple[int, int, int, int]) -> None:
    """Within 15% for one stage and several, short and long prompts, one request and many."""
    plan, asked = planned(question(*case))
    seen = closed_stream(plan, asked).output_tokens_per_s
    assert plan.figures.tokens_per_s == pytest.approx(seen, rel=0.15)


@pytest.mark.parametrize("case", CASES)
def test_no_stream_beats_its_proven_bound(case: tuple[int, int, int, int]) -> None:
    """All tokens by the time until the last one stay below the bound; decode steps alone come to 5% of it."""
    plan, asked = planned(question(*case))
    options = stream_options(plan, asked.workload)
    seen = closed_stream(plan, asked)
    requests, ended = seen.run.ledger.requests, float(seen.run.ledger.finish_s.max())
    assert seen.run.figures.preemptions == 0
    bound = most_tokens_per_s(serving_of(plan, asked, options), requests, options)
    assert float(requests.output_tokens.sum()) / ended <= bound * (1 + 1e-9)
    prompts, outputs = case[1:3]
    if outputs >= 2 * prompts:
        assert seen.output_tokens_per_s >= 0.95 * bound


@settings(max_examples=15, deadline=None)
@given(
    nodes=st.sampled_from([1, 2, 3]),
    groups=st.integers(1, 3),
    sequences=st.integers(1, 12),
    tokens=st.sampled_from([64, 100, 2048]),
    seed=st.integers(0, 1000),
)
def test_no_policy_beats_the_bound(nodes: int, groups: int, sequences: int, tokens: int, seed: int) -> None:
    """Random requests at once, measured nodes, chunks and whole prompts, any number of micro-batches."""
    plan, asked = planned(measured(nodes=nodes))
    chosen = EngineOptions(
        max_num_seqs=sequences, micro_batches=groups, max_num_batched_tokens=tokens, max_model_len=1 << 20
    )
    requests = random_requests(seed, 40, rate=1e5)
    serving = serving_of(plan, asked, chosen)
    bound = most_tokens_per_s(serving, requests, chosen)
    for given_settings in ({}, {"chunked": False}, {"chunked": False, "mixed": True}):
        run = serve(serving, requests, settings=given_settings, options=chosen)
        assert run.figures.preemptions == 0
        assert float(requests.output_tokens.sum() / run.ledger.finish_s.max()) <= bound * (1 + 1e-9)


def test_prompts_count() -> None:
    """Four stages serve long prompts at less than two thirds of the rate of short ones; decode steps hardly differ."""
    long, short = (planned(question(4, prompt, 128, 32))[0] for prompt in (1024, 16))
    assert long.figures.tokens_per_s < 0.67 * short.figures.tokens_per_s
    assert long.figures.decode_tokens_per_s > 0.67 * short.figures.decode_tokens_per_s
    told = "throughput: a closed stream of 32 requests, scheduled as vLLM does"
    assert any(note.startswith(told) for note in long.notes)


def test_a_lone_request_is_served_as_it_passes() -> None:
    """One request in flight: its rate is its tokens over the seconds of its passes, by the reference of passes."""
    plan, asked = planned(question(1, 256, 64, 1))
    seen = closed_stream(plan, asked, options=EngineOptions(max_num_seqs=1))
    assert plan.figures.tokens_per_s == pytest.approx(seen.output_tokens_per_s, rel=0.02)
    assert seen.in_flight == pytest.approx(1.0, abs=0.05)


def test_seconds_are_those_of_passes() -> None:
    """What the tables say of a pass without prompts is what `pass_seconds` says of its decode steps."""
    _, asked = planned(question(1, 100, 48, 8))
    served, _, _ = serving_costs(asked)
    tables, work, node = build_tables(asked), served.workload, served.cluster.nodes[0]
    looks, kinds = (
        passes_of(work, tables.batches.tolist()),
        span_costs(node, served.model, work, 0, asked.model.n_blocks),
    )
    seen = 100 + 48 * (0.5 + 1.0 / 24.0)
    for k, steps in enumerate(looks.decoding.tolist()):
        whole = int(steps)
        low, high = (pass_seconds(kinds, n, n, n * seen, n * seen) for n in (whole, whole + 1))
        expected = (low + (high - low) * (steps - whole)) * looks.per_request[k] / 48
        assert tables.rounds("throughput").short_s[k, 0].sum() == pytest.approx(expected, rel=1e-9)


def test_prompts_that_fill_every_pass_make_more_passes() -> None:
    """Long prompts and short outputs: no pass carries more than its tokens, and shares stay shares."""
    looks = passes_of(Workload(4096, 4, 64), [1, 8, 64])
    assert (looks.share <= 1.0).all()
    assert looks.share[-1] == pytest.approx(1.0)
    assert (looks.prompt_tokens + looks.decoding <= 2048 + 1e-9).all()
    assert looks.per_request[-1] >= 64 * 4096 / 2048


def test_requests_are_spread_and_fit() -> None:
    """Lengths lie within half of their means, which they keep; none is longer than the caches."""
    found = stream_requests(Workload(100, 40, 4), 4000, 0, 10_000)
    assert (found.prompt_tokens.min(), found.prompt_tokens.max()) == (50, 150)
    assert np.mean(found.output_tokens) == pytest.approx(40, rel=0.03)
    tight = stream_requests(Workload(100, 40, 4), 100, 0, 120)
    assert int((tight.prompt_tokens + tight.output_tokens).max()) < 120


def test_the_engine_is_the_plan_s() -> None:
    """Whole micro-batches, at most one per stage."""
    plan, asked = planned(question(2, 128, 256, 32))
    options = stream_options(plan, asked.workload)
    assert options.micro_batches <= 2
    assert options.max_num_seqs == options.micro_batches * plan.figures.micro_batch


def test_copies_are_served_as_estimated() -> None:
    """Three unlike pipelines side by side take as many sequences each as their plan says; within 10%."""
    nodes = [
        {"name": "a", "device": "a100-40gb-sxm", "count": 2},
        {"name": "b", "device": "a10g", "count": 2},
        {"name": "c", "device": "rtx-4090"},
    ]
    work = {"prompt_tokens": 128, "output_tokens": 64, "concurrency": 24}
    document = {"model": "llama-3.1-8b", "quantization": "int8", "workload": work, "network": LINK, "nodes": nodes}
    spans = [("a-0", 0, 18), ("a-1", 18, 34), ("b-0", 0, 17), ("b-1", 17, 34), ("c", 0, 34)]
    asked = read_request(document | {"objective": "throughput"})
    plan, broken = judge(None, asked, [PlacedSpan(*span) for span in spans])
    assert not broken
    engines = engines_of_copies(plan, asked).instances
    for (sequences, _), chain in zip(engines, plan.chains, strict=True):
        assert sequences <= (chain.capacity or 0)
    assert len({sequences for sequences, _ in engines}) > 1
    assert plan.figures.tokens_per_s == pytest.approx(closed_stream(plan, asked).output_tokens_per_s, rel=0.1)


def test_engines_of_instances_are_checked() -> None:
    """No more micro-batches than sequences, none beyond `max_num_seqs`, and as many as there are instances."""
    plan, asked = planned(question(2, 128, 256, 32))
    for wrong in ((2, 3), (300, 1), (0, 0)):
        with pytest.raises(InputError, match="expected from 1 micro-batch"):
            EngineOptions(instances=(wrong,))
    with pytest.raises(InputError, match="expected 1 instances, got 2"):
        closed_stream(plan, asked, options=EngineOptions(instances=((2, 1), (2, 1))))
