"""Splits of a node order: alike links are gone over once, whatever links there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import Objective
from objectives.pipeline.tables import CostTables
from placement.costs.build import build_tables
from placement.kinds.pipeline.kernels.split import decode_order
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.pipeline.solvers.exact import Exact
from placement.readers.cluster.read import request_of
from placement.search.loop import run
from tests.kinds.space.instances import host


def tables_of(seed: int) -> CostTables:
    """Tables of four devices and six blocks, with links of a few kinds, some of them missing."""
    rng = np.random.default_rng(seed)
    data = host(rng, 4, 6, alike=bool(rng.integers(2))) | {"objective": "latency"}
    tables = build_tables(request_of(data, "cluster.yaml", Path(), None))
    kinds = np.array([[1e-5, 5e10], [1e-3, 1e9], [1e-4, 0.0]])[:: int(rng.choice([1, -1]))]
    usual = rng.random((5, 5)) < rng.choice([0.4, 0.8, 1.0])
    drawn = kinds[np.where(usual, 1, rng.integers(3, size=(5, 5)))]
    latency, bandwidth = drawn[..., 0].copy(), drawn[..., 1].copy()
    np.fill_diagonal(latency, 0.0)
    np.fill_diagonal(bandwidth, 1e18)
    return replace(tables, latency_s=latency, bandwidth_bytes_per_s=bandwidth)


def best_in_order(tables: CostTables, order: list[int]) -> float:
    """The least step time of pipelines whose nodes come in an order, by plain recursion over the last stage."""
    last = tables.n_blocks
    need = np.concatenate([[0.0], (tables.weight_bytes + tables.kv_bytes).cumsum()])
    spent = np.concatenate([np.zeros((tables.n_nodes, 1)), tables.decode_s[0].cumsum(axis=1)], axis=1)

    def hop(one: int, other: int, cut: int) -> float:
        bandwidth = tables.bandwidth_bytes_per_s[one, other]
        return float(tables.latency_s[one, other] + tables.cut_bytes[cut] / bandwidth) if bandwidth > 0 else np.inf

    cost: dict[tuple[int, int], float] = {}
    for k, node in enumerate(order):
        for stop in range(1, last + 1):
            ways = [(hop(tables.client, node, 0) if start == 0 else np.inf, start) for start in range(stop)] + [
                (cost[j, start] + hop(order[j], node, start), start)
                for j in range(k)
                for start in range(1, stop)
                if tables.cut_allowed[start]
            ]
            cost[k, stop] = min(
                (
                    before + spent[node, stop] - spent[node, start]
                    for before, start in ways
                    if need[stop] - need[start] <= tables.capacity_bytes[node]
                ),
                default=np.inf,
            )
    return min(cost[k, last] + hop(node, tables.client, last) for k, node in enumerate(order))


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10_000))
def test_split_of_an_order_is_the_best_one(seed: int) -> None:
    """With links that most nodes share, and faster, slower or missing ones: it costs what plain recursion finds."""
    tables = tables_of(seed)
    problem = PipelineProblem(tables, Objective({"latency": 1.0}))
    order = np.random.default_rng(seed).permutation(tables.n_nodes)
    genome = np.zeros(problem.genome_size, dtype=np.int64)
    cost, violation = decode_order(order.astype(np.int64), problem.packed, 1, genome)
    expected = best_in_order(tables, order.tolist())
    if np.isinf(expected):
        assert violation > 0
    else:
        assert violation == 0
        assert cost == pytest.approx(expected)


def test_a_plan_is_shown_before_its_bound_is_proven() -> None:
    """The bound of a large question takes longer than its first plan, which nobody should have to wait for."""
    problem = PipelineProblem(tables_of(1), Objective({"latency": 1.0}))
    events: list[str] = []

    def bound() -> float:
        events.append("bound")
        return problem.lower_bound()

    run(
        problem,
        Exact(),
        rng=np.random.default_rng(0),
        start=problem.starts(),
        bound=bound,
        show=lambda progress: events.append("plan"),
    )
    assert events[:2] == ["plan", "bound"]
