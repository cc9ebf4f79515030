"""Plans beside a plan: the best found on one node less, on one more, and the even split by memory of today's tools.

What is tried is local: the nodes of the plan in their order, one of them left out or changed for an idle one, or an
idle one put in between; each order is split anew. It takes milliseconds, and no chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from objectives.pipeline.additive import step_cost
from objectives.spans import Span
from placement.search.problem import IntArray, Spans

from .kernels.split import decode_order
from .problem import PipelineProblem
from .solvers.yardsticks import even_by_memory

MOST_IDLE = 12
MOST_ORDERS = 120
TRIES = 6  # limits on the busiest stage that a split for throughput tries


def order_of(spans: Iterable[Span]) -> list[int]:
    """The nodes of a placement in block order, each once."""
    return list(dict.fromkeys(span.node for span in spans))


def with_fewer(problem: PipelineProblem, spans: Sequence[Span]) -> Spans | None:
    """The best placement found on one node less; None where none that fits was found."""
    order = order_of(spans)
    orders = [order[:k] + order[k + 1 :] for k in range(len(order))] if len(order) > 1 else []
    for idle in idle_nodes(problem, order):
        orders += [[*rest[:k], idle, *rest[k + 1 :]] for rest in orders[: len(order)] for k in range(len(rest))]
    found = (split(problem, each) for each in orders[:MOST_ORDERS])
    return best(problem, (one for one in found if len(order_of(one)) < len(order)))


def with_more(problem: PipelineProblem, spans: Sequence[Span]) -> Spans | None:
    """The best placement found on one node more; None where none that fits was found."""
    order = order_of(spans)
    orders = [[*order[:k], idle, *order[k:]] for idle in idle_nodes(problem, order) for k in range(len(order) + 1)]
    found = (one for each in orders[:MOST_ORDERS] for one in (split(problem, each), whole(problem, each)) if one)
    return best(problem, (one for one in found if len(order_of(one)) == len(order) + 1))


def by_memory(problem: PipelineProblem) -> Spans:
    """Blocks over all nodes that may hold some, in proportion to their memory; it may break a rule."""
    return tuple(even_by_memory(problem.tables, np.flatnonzero(problem.tables.allowed.any(axis=1))))


def best(problem: PipelineProblem, found: Iterable[Spans]) -> Spans | None:
    """The cheapest of some placements that keep every rule; the first of equals."""
    scores = {one: problem.score(one) for one in found}
    fitting = [one for one, score in scores.items() if score.violation == 0]
    return min(fitting, key=lambda one: scores[one].cost, default=None)


def idle_nodes(problem: PipelineProblem, order: Sequence[int]) -> list[int]:
    """Nodes outside an order that may hold something, one of each kind, at most `MOST_IDLE`: the fastest first."""
    tables = problem.tables
    speed = tables.decode_s[0].mean(axis=1)
    alike: dict[bytes, int] = {}
    for node in np.argsort(speed, kind="stable").tolist():
        if node not in order and tables.allowed[node].any():
            mark = b"".join(
                values.tobytes()
                for values in (
                    tables.decode_s[:, node],
                    tables.prefill_s[node],
                    tables.capacity_bytes[[node]],
                    tables.latency_s[node, order],
                    tables.latency_s[order, node],
                    tables.bandwidth_bytes_per_s[node, order],
                    tables.price_per_hour[[node]],
                )
            )
            alike.setdefault(mark, node)
    return list(alike.values())[:MOST_IDLE]


def split(problem: PipelineProblem, order: Sequence[int]) -> Spans:
    """The best split found of all blocks over nodes in this order, which may leave some of them idle."""
    genome: IntArray = np.zeros(problem.genome_size, dtype=np.int64)
    decode_order(np.array(order, dtype=np.int64), problem.packed, TRIES, genome)
    return problem.decode(genome)


def whole(problem: PipelineProblem, order: Sequence[int]) -> Spans | None:
    """The split with the least time per token in which every node of the order holds something, None without one.

    best[l] = cheapest way to place the blocks before l on the nodes so far; a node more makes it
    min over s of best[s] + hop(s) + stage(s, l), of the stages that fit.
    """
    tables, cost = problem.tables, step_cost(problem.tables, 0)
    blocks, cuts = tables.n_blocks, np.arange(tables.n_blocks + 1)
    need = np.concatenate([[0.0], (tables.weight_bytes + tables.kv_bytes).cumsum()])
    least = np.where(cuts == 0, 0.0, np.inf)
    came_from = []
    ways = list(pairwise([tables.client, *order, tables.client]))
    if any(tables.bandwidth_bytes_per_s[way] <= 0 for way in ways):
        return None
    for before, node in ways[:-1]:
        bandwidth = tables.bandwidth_bytes_per_s[before, node]
        hop = cost.latency * tables.latency_s[before, node] + cost.volume / bandwidth
        entry = np.where(tables.cut_allowed, least + hop, np.inf)
        stage = cost.stage[node][None, :] - cost.stage[node][:, None]
        fits = need[None, :] - need[:, None] <= tables.capacity_bytes[node]
        barred = np.concatenate([[0], (~tables.allowed[node]).cumsum()])
        fits &= (barred[None, :] == barred[:, None]) & (cuts[None, :] > cuts[:, None])
        total = np.where(fits, entry[:, None] + stage, np.inf)
        came_from.append(total.argmin(axis=0))
        least = total.min(axis=0)
    if not np.isfinite(least[blocks]):
        return None
    return tuple(reversed(list(_walked_back(order, came_from, blocks))))


def _walked_back(order: Sequence[int], came_from: Sequence[IntArray], blocks: int) -> Iterator[Span]:
    stop = blocks
    for node, starts in zip(reversed(order), reversed(came_from), strict=True):
        start = int(starts[stop])
        yield Span(node, start, stop)
        stop = start
