"""The engine against queues computed by hand, the plan's own figures, and laws of queues."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.costs.engines import serving_cluster
from placement.costs.passes import pass_seconds, span_costs
from placement.simulate.serving import EngineOptions, Limits, Load, serving_of, simulate
from placement.simulate.serving.kernels.events import one_pass
from tests.sampled import some_quick

from .helpers import DECODE_S, PROMPT_S, gpu, measured, options, planned, random_requests, requests

HOPS_S = 2e-3  # client to node and back, at 1 ms each


def test_a_queue_by_hand() -> None:
    """One at a time: a request begins when the one before is done; a prompt of 100 tokens, then 9 steps."""
    plan, question = planned(measured(bandwidth="1 TB/s"))
    run = simulate(
        plan,
        question,
        requests((0.0, 100, 10), (0.05, 100, 10), (5.0, 100, 10)),
        policy="orca",
        settings={"reserve": "oracle"},
        options=options(max_num_seqs=1),
    )
    first, whole = 2 * PROMPT_S + HOPS_S, 2 * PROMPT_S + 9 * 2 * DECODE_S + 10 * HOPS_S
    assert run.ledger.first_s == pytest.approx([first, whole + first, 5.0 + first], abs=1e-5)
    assert run.ledger.finish_s == pytest.approx([whole, 2 * whole, 5.0 + whole], abs=1e-5)


def test_a_request_alone_takes_what_the_plan_says() -> None:
    """Time per token and TTFT of a lone request are the plan's: one truth of costs."""
    plan, question = planned(measured(nodes=3))
    run = simulate(plan, question, requests((0.0, 100, 10)), options=options())
    assert run.figures.time_per_token_s.mean == pytest.approx(plan.figures["time_per_token_s"], rel=1e-9)
    assert run.figures.ttft_s.mean == pytest.approx(plan.figures["ttft_s"], rel=1e-6)


def test_a_pass_on_catalog_figures_is_near_the_plans() -> None:
    """A lone request on a GPU, with the file's own efficiencies: within 2% of the plan's roofline."""
    cluster = gpu(workload={"prompt_tokens": 512, "output_tokens": 128})
    cluster["nodes"][0] |= {"efficiency": {"compute": 0.6, "bandwidth": 0.8}, "overhead": "20 us"}
    plan, question = planned(cluster)
    run = simulate(plan, question, requests((0.0, 512, 128)), options=options())
    assert run.figures.time_per_token_s.mean == pytest.approx(plan.figures["time_per_token_s"], rel=0.02)


@settings(max_examples=30, deadline=None)
@given(
    tokens=st.integers(1, 9000),
    sequences=st.integers(1, 300),
    context=st.integers(0, 4000),
)
def test_the_kernel_is_its_plain_twin(tokens: int, sequences: int, context: int) -> None:
    """Seconds of a pass, compiled and in plain Python, are the same."""
    plan, question = planned(gpu())
    machine = serving_of(plan, question, EngineOptions()).machine
    pairs, cache = float(tokens * context), float(sequences * context)
    compiled = one_pass(machine, 0, tokens, sequences, sequences, np.array([pairs]), np.array([cache]))
    node = serving_cluster(question.cluster).nodes[0]
    costs = span_costs(node, question.model, question.workload, 0, question.model.n_blocks)
    assert compiled == pytest.approx(pass_seconds(costs, tokens, sequences, pairs, cache), rel=1e-9)


@pytest.mark.parametrize("policy", some_quick(["vllm", "orca"], 1))
@pytest.mark.parametrize("nodes", some_quick([1, 4], 1))
def test_littles_law(policy: str, nodes: int) -> None:
    """In steady state requests in the system are their rate times their time in it, within 1%."""
    plan, question = planned(gpu(nodes=nodes))
    arrivals = random_requests(2, 4000, longest=200, rate=6.0)
    run = simulate(plan, question, arrivals, policy=policy, options=options(max_num_seqs=32))
    ledger = run.ledger
    end = float(ledger.finish_s.max())
    inside = float((ledger.finish_s - ledger.arrival_s).sum()) / end
    rate = run.figures.finished / end
    assert inside == pytest.approx(rate * run.figures.latency_s.mean, rel=1e-9)
    assert run.figures.in_flight + run.figures.waiting == pytest.approx(inside, rel=0.01)


@pytest.mark.parametrize("nodes", some_quick([1, 3], 1))
def test_no_more_than_the_stages_can(nodes: int) -> None:
    """No stage is busy for more than all of the time, and tokens/s are below those of full batches without prompts."""
    plan, question = planned(gpu(nodes=nodes))
    run = simulate(
        plan,
        question,
        random_requests(5, 20_000, longest=100),
        options=options(max_num_seqs=64),
        load=Load(concurrency=64, duration_s=60.0, warm_s=10.0),
    )
    machine = serving_of(plan, question, EngineOptions()).machine
    size = -(-64 // nodes)
    zero = np.zeros(1)
    slowest = max(one_pass(machine, s, size, size, size, zero, zero) for s in range(nodes))
    assert 0.5 * size / slowest < run.figures.output_tokens_per_s <= size / slowest
    assert max(run.figures.busy.values()) <= 1.0 + 1e-9


def test_a_slower_link_never_serves_more() -> None:
    """The same closed stream over links of a tenth of the speed: no more tokens, up to half a percent."""
    found = []
    for bandwidth in ("1 GB/s", "1 MB/s"):
        plan, question = planned(measured(nodes=3, bandwidth=bandwidth))
        run = simulate(
            plan, question, random_requests(3, 5000), options=options(), load=Load(concurrency=8, duration_s=60.0)
        )
        found.append(run.figures.output_tokens_per_s)
    assert found[1] <= found[0] * 1.005


def test_goodput_counts_who_is_within_the_limits() -> None:
    """Without limits all that finish are good; with impossible ones nobody is."""
    plan, question = planned(measured())
    rows = random_requests(4, 50)
    free = simulate(plan, question, rows, options=options()).figures
    none = simulate(plan, question, rows, options=options(), limits=Limits(ttft_s=1e-9)).figures
    assert free.goodput_per_s == pytest.approx(free.requests_per_s)
    assert none.goodput_per_s == 0.0


SCRIPT = """
import json
from tests.simulate.serving.helpers import gpu, options, planned, random_requests
from placement.simulate.serving import simulate
plan, question = planned(gpu(nodes=2))
run = simulate(plan, question, random_requests(7, 300, longest=300), options=options(max_num_seqs=16, kv_blocks=120))
print(json.dumps([run.ledger.finish_s.tolist(), run.ledger.preempted.tolist()]))
"""


@pytest.mark.slow
def test_the_same_in_another_process() -> None:
    """Times and preemptions are equal to the last bit whatever the seed of hashes."""
    found = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=Path(__file__).parents[3],
        )
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert sum(found[0][1]) > 0


def test_room_for_more_tokens_than_can_be_counted_is_room_enough() -> None:
    """An exabyte for caches of a millionth of a byte: nobody waits, and no number is too long."""
    cluster = measured(memory="900000000 GiB")
    blocks = [{**cluster["model"]["blocks"][0], "kv_per_token": "0.000001 B"}]
    plan, question = planned({**cluster, "model": {"name": "small", "blocks": blocks}})
    run = simulate(plan, question, requests((0.0, 100, 10), (0.0, 100, 10)))
    assert run.figures.preemptions == 0
    assert np.isfinite(run.ledger.finish_s).all()


def test_a_stopped_run_keeps_its_figures() -> None:
    """Ctrl-C during a run: the figures so far, marked as interrupted."""
    plan, question = planned(measured())

    def stop(now: float, finished: int) -> None:
        if finished >= 20:
            raise KeyboardInterrupt

    run = simulate(plan, question, random_requests(1, 200), options=options(), progress=stop)
    assert run.interrupted
    assert 20 <= run.figures.finished < 200
    assert run.figures.unfinished > 0
