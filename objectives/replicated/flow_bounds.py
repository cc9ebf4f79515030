"""Proven bounds for replicated placements."""

from __future__ import annotations

import numpy as np

from ..combine import Objective
from .tables import ReplicatedTables


def work_bound(tables: ReplicatedTables) -> float:
    """Tokens/s that no placement exceeds: sum_i max_k k rate_i(k) / L."""
    blocks = np.arange(1, tables.rate.shape[1] + 1)
    return float((blocks * tables.rate).max(axis=1).sum() / tables.n_blocks)


def capped_bound(tables: ReplicatedTables) -> float:
    """Tokens/s: the largest F with sum_i max_k k min(rate_i(k), F) >= F L. No node carries more than the whole flow."""
    blocks = np.arange(1, tables.rate.shape[1] + 1)
    low, high = 0.0, work_bound(tables)
    for _ in range(100):
        flow = (low + high) / 2
        room = float((blocks * np.minimum(tables.rate, flow)).max(axis=1).sum())
        low, high = (flow, high) if room >= flow * tables.n_blocks * (1 - 1e-12) else (low, flow)
    return high


def lower_bound(tables: ReplicatedTables, objective: Objective) -> float:
    """Return a proven lower bound on the objective's cost: of a flow, what is served, and the time of a request."""
    from . import served_bounds  # which builds on the bounds of flows here

    name = objective.single
    if name in ("flow", "throughput"):
        most = capped_bound(tables) if name == "flow" else served_bounds.served_bound(tables)
        return objective.weights[name] / most if most > 0 else -np.inf
    if name in ("latency", "best_chain", "ttft"):
        seconds = served_bounds.round_trip_bound_s(tables)[int(name == "ttft")]
        return objective.weights[name] * seconds if np.isfinite(seconds) else -np.inf
    return -np.inf
