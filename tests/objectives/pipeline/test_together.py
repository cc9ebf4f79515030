"""What pipelines side by side serve together is bounded by what all nodes do in a second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import Objective
from objectives.pipeline.tables import CostTables
from objectives.pipeline.together import least_together
from placement.kinds.pipeline.problem import PipelineProblem
from tests.objectives.pipeline.cases import tables, tiny


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_single_pipeline_beats_it(seed: int) -> None:
    """One pipeline is a number of pipelines too: random placements take no fewer seconds per token."""
    rng = np.random.default_rng(seed)
    problem = PipelineProblem(tiny(rng, contiguous=True), Objective({"throughput": 1.0}))
    costs, broken = problem.evaluate(problem.random(rng, 30))
    least = least_together(problem.tables, problem.tables.rounds("throughput"))
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
    assert total * least_together(whole, whole.rounds("throughput")) <= 1 + 1e-9


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
