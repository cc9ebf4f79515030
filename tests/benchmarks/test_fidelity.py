"""What the comparison of predictions with measurements says about both, and what the emulated hosts are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.fidelity.hosts import Hosts, emulated, make_hosts
from benchmarks.fidelity.run import summarize
from objectives.pipeline.terms import step_s
from objectives.spans import Span
from placement.question.cluster import Node
from placement.question.workload import Workload
from placement.readers.models.read import read_model


def rows(predicted: list[float], *measurements: list[float]) -> list[dict[str, Any]]:
    """Rows as the benchmark keeps them, of one figure."""
    return [
        {"predicted": {"x": p}, "measured": {"x": float(np.mean(each))}, "measurements": [{"x": m} for m in each]}
        for p, each in zip(predicted, zip(*measurements, strict=True), strict=True)
    ]


def test_two_measurements_are_compared_with_each_other() -> None:
    """Measurements that disagree on one pair of three: the prediction is right, and one third of the pairs is noise."""
    found = summarize(rows([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 3.2, 3.0]), "x")
    assert found["kendall_tau"] == pytest.approx(1.0)
    assert found["tau_of_two_measurements"] == pytest.approx(1 / 3)
    assert found["median_error"] == pytest.approx(0.0)
    assert found["worst_error"] == pytest.approx(1 - 2.0 / 2.6)


def test_one_measurement_has_no_ceiling() -> None:
    """Not a number, rather than a perfect one."""
    assert summarize(rows([1.0, 2.0], [1.0, 2.0]), "x")["tau_of_two_measurements"] is None


def hosts(pass_s: float) -> Hosts:
    """Three emulated hosts, made from a machine on which a block takes a millisecond."""
    model = read_model("llama-3.1-8b")
    base = Node(
        name="here",
        memory_bytes=1e12,
        decode_table={1: (0.001,) * model.n_blocks},
        prefill_s_per_block=(0.002,) * model.n_blocks,
        pass_overhead_s=pass_s,
    )
    work = Workload(16, 8, 1)
    rng = np.random.default_rng(0)
    return make_hosts(Path(), base, model, rng, 3, work, slow=(2.0, 8.0), room=(1.1, 1.2), hop_s=0.0005)


def test_emulated_links_leave_out_what_this_machine_adds() -> None:
    """The prediction counts a hop of this machine on top of every link; what is emulated does not."""
    found = hosts(0.0)
    difference = found.request.cluster.latency_s - emulated(found).latency_s
    np.testing.assert_allclose(difference, 0.0005 * (1 - np.eye(4)), atol=1e-12)


def test_slower_hosts_take_longer_to_begin_too() -> None:
    """What a pass takes once is stretched by the host's factor, in a step and in the rate of a full pipeline."""
    without, found = hosts(0.0), hosts(0.01)
    n = found.request.model.n_blocks
    spans = [Span(0, 0, 10), Span(1, 10, n)]
    added = 0.01 * (found.slow["host0"] + found.slow["host1"])
    assert step_s(found.tables, spans, 0) - step_s(without.tables, spans, 0) == pytest.approx(added)
    slowest = max(found.slow["host0"] * (0.010 + 0.01), found.slow["host1"] * (0.001 * (n - 10) + 0.01))
    assert found.tokens_per_s(spans, 100) == pytest.approx(1 / slowest)
