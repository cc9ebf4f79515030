"""What pipelines side by side serve together is bounded by what all nodes do in a second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import Objective
from objectives.pipeline.tables import CostTables
from objectives.pipeline.together import Holders, least_together
from placement.kinds.pipeline.problem import PipelineProblem
from tests.objectives.pipeline.cases import tables, tiny


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_single_pipeline_beats_it(seed: int) -> None:
    """One pipeline is a number of pipelines too: random placements take no fewer seconds per token."""
    rng = np.random.default_rng(seed)
    problem = PipelineProblem(tiny(rng, contiguous=True), Objective({"throughput": 1.0}))
    costs, broken = problem.evaluate(problem.random(rng, 30))
    least = least_together(single(problem.tables), problem.tables.concurrency)
    assert (costs[broken == 0] >= least * (1 - 1e-9)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_two_halves_together_do_not_beat_it(seed: int) -> None:
    """Random pipelines of two halves of the nodes, with half of the sequences each: their rates sum to no more."""
    rng = np.random.default_rng(seed)
    whole = tables(rng, 6, 8, 8, room=4.0)
    total = 0.0
    for part in (np.array([0, 2, 4]), np.array([1, 3, 5])):
        half = PipelineProblem(_restricted(whole, part), Objective({"throughput": 1.0}))
        costs, broken = half.evaluate(half.random(rng, 60))
        fine = costs[broken == 0]
        total += 1.0 / fine.min() if len(fine) else 0.0
    assert total * least_together(single(whole), whole.concurrency) <= 1 + 1e-9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_more_of_anything_is_no_worse(seed: int) -> None:
    """Of alike devices: with more sequences, devices or memory, tokens need no more seconds, but for the search."""
    rng = np.random.default_rng(seed)
    instance = replace(single(tables(rng, 1, 6, 8, kinds={"uneven"})), supply=np.array([4.0]))
    least = least_together(instance, 4)
    more = [replace(instance, supply=2 * instance.supply), replace(instance, room_bytes=2 * instance.room_bytes)]
    assert all(least_together(one, 4) <= least * 1.02 for one in more)
    assert least_together(instance, 8) <= least * 1.02


def test_one_device_alone_is_bounded_by_its_own_time() -> None:
    """One device, one sequence: a round through all blocks is what it takes, and the bound says so."""
    instance = single(tables(np.random.default_rng(1), 1, 4, 1))
    rates = instance.rates
    seconds = float((rates.short_s + rates.share[:, None, None] * rates.convoy_s).sum() + rates.fixed_s.sum())
    assert least_together(instance, 1) == pytest.approx(seconds, rel=1e-6)


def single(instance: CostTables) -> Holders:
    """Each node by itself, of a class of its own."""
    n = instance.n_nodes
    inner = instance.latency_s[:-1, :-1][~np.eye(n, dtype=bool)]
    return Holders(
        sizes=np.append(instance.batches, instance.concurrency + 1),
        rates=instance.rounds("throughput"),
        allowed=instance.allowed,
        devices=np.eye(n),
        room_bytes=instance.capacity_bytes,
        supply=np.ones(n),
        weight_bytes=float(instance.weight_bytes.sum()),
        kv_bytes=float(instance.kv_bytes.sum()),
        hop_s=float(inner.min()) if n > 1 else 0.0,
        ends_s=0.0,
        largest_bytes=float(instance.capacity_bytes.max()),
    )


def _restricted(whole: CostTables, nodes: npt.NDArray[np.int64]) -> CostTables:
    """The tables of some of the nodes, with half of the sequences."""
    places = np.append(nodes, whole.n_nodes)
    pairs = np.ix_(places, places)
    return replace(
        whole,
        decode_s=whole.decode_s[:, nodes],
        prefill_s=whole.prefill_s[nodes],
        capacity_bytes=whole.capacity_bytes[nodes],
        latency_s=whole.latency_s[pairs],
        bandwidth_bytes_per_s=whole.bandwidth_bytes_per_s[pairs],
        price_per_hour=whole.price_per_hour[nodes],
        power_w=whole.power_w[nodes],
        allowed=whole.allowed[nodes],
        required=np.zeros(len(nodes), dtype=bool),
        max_nodes=len(nodes),
        concurrency=max(1, whole.concurrency // 2),
        served=None,
    )
