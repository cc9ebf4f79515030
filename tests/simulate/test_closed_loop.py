"""The closed loop where a part of the caches is kept back: how full they are, who is let in, and with which lengths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from objectives.combine import REPLICATED
from objectives.replicated.tables import ReplicatedTables
from objectives.spans import Span
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.question.objective import objective_of
from placement.readers.helix import read_helix
from placement.simulate.closed_loop import Served, simulate
from tests.objectives.replicated.cases import make_case

ROOM = 120.0  # requests of 562 tokens


def tables_of(room: float = ROOM) -> ReplicatedTables:
    """Four alike nodes that hold two of four blocks each, with room for so many requests on each."""
    case = make_case(1, nodes=4, blocks=4, types=1)
    case["links"].update(source_bandwidth=1e9, sink_bandwidth=1e9)
    for kind in case["node_types"].values():
        kind.update(max_layers=2, throughput=[500.0, 250.0], kv_cache_tokens_x_layers=[room * 562.0, 2 * room * 562.0])
    return read_helix(case).tables


TWO_BY_TWO = (Span(0, 0, 2), Span(1, 0, 2), Span(2, 2, 4), Span(3, 2, 4))


def served(tables: ReplicatedTables, spans: tuple[Span, ...] = TWO_BY_TWO, seconds: float = 600.0) -> Served:
    """What is served with the routing of the estimate."""
    problem = ReplicatedProblem(tables, objective_of("served", REPLICATED))
    weights = problem.details(spans)[0].service.weights
    return simulate(tables, spans, weights, np.random.default_rng(0), warm_s=200.0, seconds=seconds)


@pytest.mark.parametrize("fill", [0.5, 0.8])
def test_caches_are_filled_to_the_part_that_is_said(fill: float) -> None:
    """Requests in flight take that part of the caches, each with its longer prompt, and as many as estimated."""
    tables = replace(tables_of(), cache_fill=fill)
    seen = served(tables)
    assert seen.in_flight == pytest.approx(fill * 2 * ROOM * 562.0 / tables.cache_tokens_per_request, rel=0.06)
    estimate = ReplicatedProblem(tables, objective_of("served", REPLICATED)).details(TWO_BY_TWO)[0].service
    assert estimate.in_flight == pytest.approx(seen.in_flight, rel=0.06)


def test_longer_prompts_of_long_outputs_leave_room_for_fewer() -> None:
    """Where long prompts come with long outputs fewer are in flight than where lengths are independent."""
    alike, apart = (served(replace(tables_of(), length_product=product)) for product in (1.2, 1.0))
    assert alike.in_flight < 0.92 * apart.in_flight


def test_of_all_holders_of_a_block_together() -> None:
    """One of two holders is small: it is not filled beyond its own limit, the other one takes the rest."""
    tables = tables_of()
    kv = tables.kv_tokens.copy()
    kv[0] /= 4.0
    tables = replace(tables, kv_tokens=kv)
    per = tables.cache_tokens_per_request
    assert served(tables).in_flight == pytest.approx(0.8 * (ROOM + ROOM / 4.0) * 562.0 / per, rel=0.1)


def test_few_want_to_be_in_flight() -> None:
    """A limit on requests in flight holds while they are let in one by one, too."""
    assert served(replace(tables_of(), concurrency=7.0)).in_flight == pytest.approx(7.0, rel=0.05)


def test_a_stream_of_one_goes_on() -> None:
    """Caches with room for one short request: one that finds no room does not end the stream."""
    assert served(tables_of(room=1.3)).tokens_per_s > 0.0
