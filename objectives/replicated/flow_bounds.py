"""Proven bounds for replicated placements."""

from __future__ import annotations

import numpy as np

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
