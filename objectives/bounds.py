"""Lower bounds on the cost of every feasible pipeline."""

from __future__ import annotations

import numpy as np

from .combine import Objective
from .tables import CostTables


def lower_bound(tables: CostTables, objective: Objective) -> float:
    """Return a proven lower bound on the cost; minus infinity when none is known."""
    return -np.inf
