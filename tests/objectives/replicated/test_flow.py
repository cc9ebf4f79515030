"""Max flow of replicated placements: the reference against networkx, the kernel against the reference."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from objectives.combine import REPLICATED, Objective
from objectives.replicated.flow import decompose, flow_value, network
from objectives.replicated.flow_bounds import capped_bound, work_bound
from objectives.replicated.kernels.flow import flow_batch
from objectives.replicated.kernels.scores import replicated_data
from objectives.replicated.tables import ReplicatedTables
from objectives.spans import Span
from placement.readers.helix import read_helix

from .cases import make_case, random_spans

CASES = [(seed, partial) for seed in range(6) for partial in (False, True)]


def tables_of(seed: int, partial: bool, **kwargs: Any) -> ReplicatedTables:
    return read_helix(make_case(seed, regions=1 + seed % 3, **kwargs), partial=partial).tables


def to_spans(pairs: Any) -> list[Span]:
    return [Span(i, start, stop) for i, (start, stop) in enumerate(pairs) if stop > start]


@pytest.mark.parametrize(("seed", "partial"), CASES)
def test_reference_equals_networkx(seed: int, partial: bool) -> None:
    """The plain Dinic finds networkx's max flow."""
    tables, rng = tables_of(seed, partial), np.random.default_rng(seed)
    for _ in range(30):
        spans = to_spans(random_spans(tables, rng))
        graph = nx.DiGraph()
        graph.add_nodes_from(("source", "sink"))
        for tail, row in network(tables, spans).capacity.items():
            graph.add_edges_from((tail, head, {"capacity": room}) for head, room in row.items() if room > 0)
        assert flow_value(tables, spans) == pytest.approx(nx.maximum_flow_value(graph, "source", "sink"), rel=1e-9)


@pytest.mark.parametrize(("seed", "partial"), CASES)
def test_kernel_equals_reference(seed: int, partial: bool) -> None:
    """Grouping, free boundaries and the staged short cut change no value."""
    tables, rng = tables_of(seed, partial, nodes=14), np.random.default_rng(seed)
    data = replicated_data(tables, Objective.of("flow", terms=REPLICATED))
    rows = [random_spans(tables, rng) for _ in range(150)]
    genomes = np.array([np.array(row).T.ravel() for row in rows])
    flows = np.zeros(len(rows))
    flow_batch(genomes, data, flows)
    expected = [flow_value(tables, to_spans(row)) for row in rows]
    np.testing.assert_allclose(flows, expected, rtol=1e-9, atol=1e-9)
    assert np.count_nonzero(flows) > 5


@pytest.mark.parametrize("seed", range(6))
def test_partial_is_never_less_than_exact(seed: int) -> None:
    """More edges carry no less."""
    exact, partial = tables_of(seed, False), tables_of(seed, True)
    rng = np.random.default_rng(seed)
    for _ in range(60):
        spans = to_spans(random_spans(exact, rng))
        assert flow_value(partial, spans) >= flow_value(exact, spans) * (1 - 1e-9)


@pytest.mark.parametrize(("seed", "partial"), CASES)
def test_decomposition_sums_to_the_flow_and_respects_capacities(seed: int, partial: bool) -> None:
    """Chains carry the flow, and no node more than its rate."""
    tables, rng = tables_of(seed, partial), np.random.default_rng(seed)
    for _ in range(30):
        pairs = random_spans(tables, rng)
        chains = decompose(tables, to_spans(pairs))
        assert sum(chain.tokens_per_s for chain in chains) == pytest.approx(
            flow_value(tables, to_spans(pairs)), rel=1e-7, abs=1e-7
        )
        load = np.zeros(tables.n_nodes)
        for chain in chains:
            position = 0
            for node in chain.nodes:
                start, stop = pairs[node]
                assert (start <= position < stop) if partial else start == position
                position = stop
                load[node] += chain.tokens_per_s
            assert position == tables.n_blocks
        for node, (start, stop) in enumerate(pairs):
            if stop > start:
                assert load[node] <= tables.rate[node, stop - start - 1] * (1 + 1e-9)


@pytest.mark.parametrize(("seed", "partial"), CASES)
def test_relabelling_nodes_changes_nothing(seed: int, partial: bool) -> None:
    """The flow does not know names."""
    case, rng = make_case(seed, nodes=7), np.random.default_rng(seed)
    tables = read_helix(case, partial=partial).tables
    order = rng.permutation(7)
    moved = dict(case, nodes=[case["nodes"][i] for i in order])
    links = case["links"]
    moved["links"] = {
        "bandwidth": np.array(links["bandwidth"])[np.ix_(order, order)].tolist(),
        "latency": np.array(links["latency"])[np.ix_(order, order)].tolist(),
        "source_bandwidth": [links["source_bandwidth"][i] for i in order],
        "sink_bandwidth": [links["sink_bandwidth"][i] for i in order],
    }
    other = read_helix(moved, partial=partial).tables
    for _ in range(20):
        pairs = random_spans(tables, rng)
        same = flow_value(other, to_spans([pairs[i] for i in order]))
        assert same == pytest.approx(flow_value(tables, to_spans(pairs)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_no_flow_exceeds_the_bounds(seed: int) -> None:
    """Exact rule: flow <= capped bound <= work bound."""
    tables, rng = tables_of(seed, False), np.random.default_rng(seed)
    assert capped_bound(tables) <= work_bound(tables) * (1 + 1e-12)
    for _ in range(60):
        assert flow_value(tables, to_spans(random_spans(tables, rng))) <= capped_bound(tables) * (1 + 1e-9)
