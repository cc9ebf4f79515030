"""No placement is served better, or answers faster, than the bounds say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import REPLICATED, Objective
from objectives.replicated.bounds import lower_bound
from objectives.replicated.served_bounds import fastest_chain_s, in_flight_bound, least_hops, served_bound
from objectives.replicated.tables import ReplicatedTables
from objectives.spans import Span
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.question.objective import objective_of
from placement.readers.helix import read_helix
from tests.objectives.replicated.cases import make_case, random_spans

NAMES = ("throughput", "flow", "latency", "ttft", "best_chain")


def tables_of(seed: int, *, partial: bool, nodes: int = 9) -> ReplicatedTables:
    """An invented cluster; every other one with few requests that want to be in flight."""
    tables = read_helix(make_case(seed, nodes=nodes, regions=1 + seed % 2), partial=partial).tables
    return replace(tables, concurrency=5.0) if seed % 2 else tables


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_no_placement_beats_a_bound(seed: int, partial: bool) -> None:
    """Random placements and constructive ones, every objective that has a bound."""
    tables = tables_of(seed, partial=partial)
    problem = ReplicatedProblem(tables, objective_of("served", REPLICATED))
    rng = np.random.default_rng(seed)
    rows = [np.array(random_spans(tables, rng)).T.ravel() for _ in range(20)]
    values, broken = problem.terms(np.concatenate([np.array(rows), problem.starts()]))
    for name in NAMES:
        column = values[broken == 0, REPLICATED.names.index(name)]
        bound = lower_bound(tables, Objective.of(name, terms=REPLICATED))
        assert np.isfinite(bound)
        assert (column >= bound * (1 - 1e-9)).all()


def test_one_node_that_holds_all_meets_its_bounds() -> None:
    """A single node without links to others: the times are those of the only chain there is."""
    case = make_case(0, nodes=1, blocks=2)
    for kind in case["node_types"].values():
        kind.update(max_layers=2, throughput=[100.0, 60.0], kv_cache_tokens_x_layers=[4e5, 4e5])
    tables = read_helix(case).tables
    problem = ReplicatedProblem(tables, objective_of("served", REPLICATED))
    terms = problem.score([Span(0, 0, 2)]).values
    for name in ("latency", "ttft", "best_chain"):
        bound = lower_bound(tables, Objective.of(name, terms=REPLICATED))
        assert terms[REPLICATED.names.index(name)] == pytest.approx(bound)
    assert 1.0 / terms[0] <= served_bound(tables)


def test_chains_fill_the_fastest_nodes_first() -> None:
    """Three nodes hold 2, 2 and 3 blocks; five blocks need two of them."""
    case = make_case(1, nodes=3, blocks=5)
    for kind in case["node_types"].values():
        kind.update(max_layers=3, throughput=[9.0, 8.0, 7.0], kv_cache_tokens_x_layers=[4e5, 4e5, 4e5])
    tables = read_helix(case).tables
    rate = tables.rate.copy()
    rate[:2, 2] = 0.0
    tables = replace(tables, rate=rate)
    assert fastest_chain_s(tables, np.array([1.0, 10.0, 2.0])) == pytest.approx(2 * 1.0 + 3 * 2.0)
    assert least_hops(tables) == 1
    assert in_flight_bound(tables) >= 1.0
    assert fastest_chain_s(replace(tables, rate=rate * 0.0), np.ones(3)) == np.inf
