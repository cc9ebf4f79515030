"""A bound on what pipelines side by side serve together, however many there are and whoever is in which."""

from __future__ import annotations

import numpy as np

from .node_types import busy_sums
from .rounds import Rounds
from .tables import CostTables

SLACK = 1e-9


def least_together(tables: CostTables, rates: Rounds, joined: int = 1) -> float:
    """Return seconds per token that all pipelines together need at least.

    Every token passes every block on some node, and a node does one thing at a time. So with prices for the blocks, the
    priced work of a token over what all nodes do of it in a second is a bound (the dual of the fractional assignment of
    blocks to nodes, whose best prices need not be known). The other one is Little's law: a sequence goes round no
    faster than the fastest nodes let it.

    Parameters
    ----------
    tables : CostTables
        Of all nodes and all sequences. Micro-batches of one pipeline are no larger than with all sequences in it.
    rates : Rounds
        The rate that is wanted.
    joined : int
        Most nodes that may compute a block together, each doing its share of the work.

    Returns
    -------
    float
    """
    last = max(0, int(np.searchsorted(tables.batches, tables.concurrency, side="right")) - 1)
    rows: dict[bytes, tuple[int, int]] = {}  # alike nodes once, with their number
    for node in range(tables.n_nodes):
        seconds = rates.short_s[: last + 1, node] + rates.convoy_s[: last + 1, node]
        mark = seconds.tobytes() + tables.allowed[node].tobytes()
        rows[mark] = (rows.get(mark, (node, 0))[0], rows.get(mark, (node, 0))[1] + 1)
    heads = [node for node, _ in rows.values()]
    counts = np.array([count for _, count in rows.values()], dtype=np.float64)
    allowed = tables.allowed[heads]
    busy = np.where(allowed, [np.diff(busy_sums(tables, node, rates, 0, last)) for node in heads], np.inf)
    prices = busy.min(axis=0)
    if not np.isfinite(prices).all():
        return np.inf
    paid = np.where(prices > 0, prices / np.maximum(busy, 1e-300), 0.0).max(axis=1)  # a second of a node, at most
    work = float(prices.sum() / max(float((counts * paid).sum()), 1e-300))
    alone = np.where(allowed, rates.short_s[: last + 1, heads].min(axis=0), np.inf).min(axis=0)
    return max(work, float(alone.sum()) / (joined * max(1, tables.concurrency))) * (1 - SLACK)
