"""Plans beside a plan keep the rules, use one node less or more, and are the best where everything can be tried."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from objectives.combine import Objective
from objectives.spans import Span
from placement.kinds.pipeline.near import by_memory, order_of, whole, with_fewer, with_more
from placement.kinds.pipeline.problem import PipelineProblem
from tests.objectives.pipeline.cases import tables

RULES = {"uneven", "links", "cuts", "pins"}


def every(problem: PipelineProblem, nodes: int) -> list[tuple[Span, ...]]:
    """Every contiguous placement on this many nodes that keeps the rules."""
    blocks = problem.tables.n_blocks
    found = []
    for order in permutations(range(problem.tables.n_nodes), nodes):
        for cuts in combinations(range(1, blocks), nodes - 1):
            ends = [0, *cuts, blocks]
            spans = tuple(Span(node, ends[k], ends[k + 1]) for k, node in enumerate(order))
            if problem.score(spans).violation == 0:
                found.append(spans)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_whole_order_is_split_best(seed: int) -> None:
    """Of all splits in which every node of an order holds something, the one with the least time per token."""
    problem = PipelineProblem(tables(np.random.default_rng(seed), 3, 7, kinds=RULES), Objective())
    for order in permutations(range(3), 2):
        costs = [problem.score(spans).cost for spans in every(problem, 2) if order_of(spans) == list(order)]
        found = whole(problem, order)
        assert (found is None) == (not costs)
        if found is not None:
            assert problem.score(found).cost == pytest.approx(min(costs))


@pytest.mark.parametrize("seed", range(6))
def test_one_less_and_one_more(seed: int) -> None:
    """They are feasible on one node less and one more, and no better than the best of all such placements."""
    problem = PipelineProblem(tables(np.random.default_rng(seed), 4, 6, kinds=RULES, room=4.0), Objective())
    two = min(every(problem, 2), key=lambda spans: problem.score(spans).cost, default=None)
    if two is None:
        pytest.skip("no placement on two nodes fits")
    for found, nodes in ((with_fewer(problem, two), 1), (with_more(problem, two), 3)):
        costs = [problem.score(spans).cost for spans in every(problem, nodes)]
        assert found is not None or not costs or nodes == 3
        if found is not None:
            assert len(order_of(found)) == nodes
            assert problem.score(found).violation == 0
            assert problem.score(found).cost >= min(costs) * (1 - 1e-12)


def test_shares_by_memory() -> None:
    """The even split goes over all nodes that may hold a block, by their memory."""
    problem = PipelineProblem(tables(np.random.default_rng(1), 3, 30), Objective())
    spans = by_memory(problem)
    assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])]
    sizes = {span.node: span.stop - span.start for span in spans}
    memory = problem.tables.capacity_bytes
    largest, smallest = memory.argmax(), memory.argmin()
    assert sizes.get(int(largest), 0) >= sizes.get(int(smallest), 0)
