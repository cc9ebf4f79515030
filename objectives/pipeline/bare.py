"""A lower bound that costs nothing: every block at its fastest node, no hop, all nodes busy all the time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..combine import RATES, Objective
from .tables import CostTables


def bare_bound(tables: CostTables, objective: Objective) -> float:
    """Return a proven lower bound on the cost of every pipeline; 0 for terms of which nothing is known.

    With S(b) the fastest seconds of all blocks for micro-batches of b, seconds per token are at least S(b) / C by
    Little's law and S(b) / (N b) with N nodes, for the best b: prompts included where they count.

    Parameters
    ----------
    tables : CostTables
    objective : Objective
    """
    if not tables.allowed.any(axis=0).all():
        return float("inf")
    fastest = np.where(tables.allowed, tables.decode_s, np.inf).min(axis=1).sum(axis=-1)
    prompt = np.where(tables.allowed, tables.prefill_s, np.inf).min(axis=0)
    nodes = min(tables.n_nodes, tables.max_nodes)
    step = float(fastest[0])
    ttft = float((1.0 - tables.prompt_overlap) * prompt.sum() + tables.prompt_overlap * prompt.max())
    bounds = {
        "latency": step,
        "ttft": ttft,
        "request_time": ttft + (tables.output_tokens - 1) * step,
        **{name: _least_rate(tables, name, nodes) for name in RATES if name in objective.weights},
        "bottleneck": step / nodes,
    }
    return sum(weight * bounds.get(name, 0.0) for name, weight in objective.weights.items()) * (1 - 1e-9)


def _least_rate(tables: CostTables, name: str, nodes: int) -> float:
    rates, least, stages = tables.rounds(name), np.inf, tables.stage_limit
    for size, batch in enumerate(tables.batches.tolist()):
        if size == 0 or batch <= tables.concurrency:
            flying = rates.flying(tables.concurrency, batch, stages)
            part = rates.long_share(size, flying / batch)
            trip, busy = (
                _fastest(tables.allowed, rates.short_s[size] + often * rates.convoy_s[size])
                for often in (part, float(rates.share[size]))
            )
            least = min(least, max(trip / flying, busy / (nodes * batch)))
    return float(least)


def _fastest(allowed: npt.NDArray[np.bool_], seconds: npt.NDArray[np.float64]) -> float:
    """Seconds (N, L) of all blocks, each on its fastest node."""
    return float(np.where(allowed, seconds, np.inf).min(axis=0).sum())
