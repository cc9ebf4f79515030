"""Constructive starts of pipelines: a handful of sensible node orders, each split optimally."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from objectives.pipeline.tables import CostTables

from .kernels.split import decode_order

if TYPE_CHECKING:
    from .problem import PipelineProblem

TRIES = 12  # limits on the busy seconds of a stage that are tried for each order
MOST_STEPS = 2_000_000_000  # of all orders together, where links are unlike: a few seconds
LEAST_ORDERS = 2
PART = 0.125  # of a search, for one order
STEPS_PER_S = 1e7  # where links are alike
LEAST_TRIES = 2
OTHERS_PER_STEP = 25.0  # links beside the usual one that take as long as a node
IntArray = npt.NDArray[np.int64]


def node_orders(problem: PipelineProblem) -> list[IntArray]:
    """Node orders by speed, memory, nearness to the client, price, and nearest-neighbour tours from the fast ones."""
    tables = problem.tables
    speed = tables.decode_s[0].mean(axis=1)
    big = -tables.capacity_bytes
    near = tables.latency_s[tables.client, :-1]
    keys = [speed, big, near, speed * (1 + near / max(near.max(), 1e-12)), tables.prefill_s.mean(axis=1)]
    keys += [tables.price_per_hour, np.arange(tables.n_nodes, dtype=np.float64), speed / np.maximum(-big, 1.0)]
    orders = [np.argsort(key, kind="stable") for key in keys]
    heads = dict.fromkeys(int(order[0]) for order in orders)
    return orders + [tour(problem, head) for head in heads]


def tour(problem: PipelineProblem, head: int) -> IntArray:
    """From `head` always on to the node with the least hop plus mean block time."""
    tables = problem.tables
    byte_s = 1.0 / np.maximum(tables.bandwidth_bytes_per_s[:-1, :-1], 1e-9)
    hop = tables.latency_s[:-1, :-1] + float(np.median(tables.cut_bytes)) * byte_s
    speed = tables.decode_s[0].mean(axis=1)
    order, left = [head], set(range(tables.n_nodes)) - {head}
    while left:
        rest = np.array(sorted(left))
        chosen = int(rest[np.argmin(hop[order[-1], rest] + speed[rest])])
        order.append(chosen)
        left.remove(chosen)
    return np.array(order)


def constructive(problem: PipelineProblem, seconds: float = math.inf) -> IntArray:
    """Return distinct genomes of the constructive starts, the least violation and cost first.

    Parameters
    ----------
    problem : PipelineProblem
    seconds : float
        Of the search that they are for: where an order takes long, fewer splits of it are tried, and fewer orders.
    """
    genomes, tables = [], problem.tables
    splits = tables.n_nodes * tables.n_blocks * len(tables.batches)
    affordable = PART * seconds * STEPS_PER_S / (splits * (1.0 + _other_links(tables) / OTHERS_PER_STEP))
    tries = TRIES if affordable >= TRIES else max(LEAST_TRIES, int(affordable))
    most = max(LEAST_ORDERS if affordable >= LEAST_TRIES else 1, MOST_STEPS // (tables.n_nodes * splits * TRIES))
    for order in node_orders(problem)[:most]:
        genome = np.zeros(problem.genome_size, dtype=np.int64)
        if affordable < LEAST_TRIES:
            order = order[: _enough(tables, order, int(tables.n_nodes * math.sqrt(affordable / LEAST_TRIES)))]
        decode_order(np.ascontiguousarray(order, dtype=np.int64), problem.packed, tries, genome)
        genomes.append(genome)
    rows = np.unique(np.stack(genomes), axis=0)
    costs, violations = problem.evaluate(rows)
    return rows[np.lexsort((costs, violations))]


def _other_links(tables: CostTables) -> float:
    """Links of a node, in the mean over an order, that are better than its slowest one: each is looked at."""
    latency = tables.latency_s[:-1, :-1]
    better = latency < latency.max(axis=0)
    return max(0.0, (float(better.sum()) - tables.n_nodes) / (2.0 * tables.n_nodes))


def _enough(tables: CostTables, order: IntArray, least: int) -> int:
    """How many nodes of an order are looked at: so many, or as many as hold the model twice."""
    room = np.maximum(tables.capacity_bytes[order], 0.0).cumsum()
    return max(least, int(np.searchsorted(room, 2.0 * (tables.weight_bytes + tables.kv_bytes).sum())) + 1)
