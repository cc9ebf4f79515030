"""A lower bound that costs nothing: every block at its fastest node, no hop, all nodes busy all the time."""

from __future__ import annotations

import numpy as np

from ..combine import Objective
from .tables import CostTables


def bare_bound(tables: CostTables, objective: Objective) -> float:
    """Return a proven lower bound on the cost of every pipeline; 0 for terms of which nothing is known.

    With S(b) the fastest seconds of all blocks for micro-batches of b, seconds per token are at least S(b) / C by
    Little's law and S(b) / (N b) with N nodes, for the best b.

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
    batches = tables.batches.astype(np.float64)
    within = batches <= tables.concurrency
    rate = np.maximum(fastest / tables.concurrency, fastest / (nodes * batches))[within].min()
    bounds = {
        "latency": step,
        "ttft": ttft,
        "request_time": ttft + (tables.output_tokens - 1) * step,
        "throughput": float(rate),
        "bottleneck": step / nodes,
    }
    return sum(weight * bounds.get(name, 0.0) for name, weight in objective.weights.items()) * (1 - 1e-9)
