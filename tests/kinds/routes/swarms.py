"""Small swarms, and all chains through them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from objectives.combine import Objective
from objectives.pareto import front
from objectives.routes.swarm import Shape, Swarm, route_of
from objectives.routes.terms import ROUTES, excess, route_values

SHAPES: tuple[Shape, Shape] = ("star", "chain")


def drawn(seed: int, servers: int = 6, blocks: int = 6) -> Swarm:
    """A random swarm; the first two servers hold everything between them."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, blocks - 1, servers)
    stops = np.minimum(starts + rng.integers(1, blocks, servers), blocks)
    starts[:2], stops[:2] = (0, blocks // 2), (blocks // 2, blocks)
    rtt = rng.uniform(0.01, 0.1, (servers + 1, servers + 1))
    return Swarm(
        tuple(f"s{j}" for j in range(servers)),
        starts,
        stops,
        rng.uniform(0.001, 0.02, servers),
        rng.uniform(1, 9, servers).round(),
        (rtt + rtt.T) / 2,
        blocks,
        price=rng.uniform(1, 5, servers).round(),
        survival=rng.uniform(0.8, 0.99, servers),
    )


def every_value(swarm: Swarm, shape: Shape) -> np.ndarray:
    """Minimised terms (n, 4) of all chains."""
    blocks = range(swarm.n_blocks)
    holders = [np.flatnonzero((swarm.starts <= b) & (b < swarm.stops)).tolist() for b in blocks]
    return np.array([route_values(route_of(swarm, way, shape)) for way in product(*holders)])


def allowed(values: np.ndarray, objective: Objective) -> np.ndarray:
    """Those that meet the limits."""
    return values[[not excess(objective, row) for row in values]]


def best_front(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Minimised values (n, D) of the terms `names` that nothing beats, by the first one."""
    columns = values[:, [ROUTES.names.index(name) for name in names]]
    return columns[front(columns)]


def document(**changes: object) -> dict[str, object]:
    """A swarm file of two servers."""
    one = {"ms_per_block": 2, "tokens_per_s": 5}
    plain: dict[str, object] = {
        "blocks": 4,
        "client": {"site": "x"},
        "rtt_ms": {"x": {"y": 20}},
        "servers": [
            {"name": "a", "site": "x", "blocks": "0:2", **one},
            {"name": "b", "site": "y", "blocks": "2:4", **one},
        ],
    }
    return plain | changes
