"""Random swarms: sites on a map, servers of three kinds, spans placed by Petals' greedy joining."""

from __future__ import annotations

import numpy as np

from objectives.petals.rules import joined
from objectives.routes.swarm import Swarm


def drawn_swarm(seed: int, servers: int, blocks: int = 80, sites: int = 6) -> Swarm:
    """Draw a swarm that holds every block."""
    rng = np.random.default_rng(70_000 + seed)
    place = rng.uniform(0.0, 0.06, (sites, 2))  # seconds of one-way delay on a map
    site = np.append(rng.integers(0, sites, servers), rng.integers(0, sites))
    rtt = 2.0 * np.linalg.norm(place[site][:, None] - place[site][None, :], axis=2) + 0.002
    rtt *= rng.uniform(1.0, 1.3, rtt.shape)
    rtt = (rtt + rtt.T) / 2.0
    speed = rng.choice([1.0, 2.5, 6.0], servers) * rng.uniform(0.8, 1.25, servers)
    sizes = np.clip((blocks / servers * 2.2 * rng.uniform(0.5, 1.6, servers) * speed**0.3).astype(int), 2, blocks)
    while sizes.sum() < 1.3 * blocks:
        sizes = np.minimum(sizes + 1, blocks)
    spans = np.array(joined(sizes.tolist(), speed.tolist(), blocks), dtype=np.int64)
    return Swarm(
        tuple(f"s{j}" for j in range(servers)),
        spans[:, 0],
        spans[:, 1],
        0.004 / speed,
        np.round(speed * 60.0 / np.sqrt(sizes), 3),
        rtt,
        blocks,
        price=1e-7 * speed**1.3,
        survival=rng.uniform(0.9, 0.999, servers),
    )
