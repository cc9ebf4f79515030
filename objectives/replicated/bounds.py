"""Proven bounds on the objectives of replicated placements."""

from __future__ import annotations

import numpy as np

from ..combine import Objective
from .flow_bounds import capped_bound
from .served_bounds import round_trip_bound_s, served_bound
from .tables import ReplicatedTables


def lower_bound(tables: ReplicatedTables, objective: Objective) -> float:
    """Return a proven lower bound on the objective's cost: of a flow, what is served, and the time of a request."""
    name = objective.single
    if name in ("flow", "throughput"):
        most = capped_bound(tables) if name == "flow" else served_bound(tables)
        return objective.weights[name] / most if most > 0 else -np.inf
    if name in ("latency", "best_chain", "ttft"):
        seconds = round_trip_bound_s(tables)[int(name == "ttft")]
        return objective.weights[name] * seconds if np.isfinite(seconds) else -np.inf
    return -np.inf
