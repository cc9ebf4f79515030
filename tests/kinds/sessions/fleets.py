"""Fleets for tests."""

from __future__ import annotations

import numpy as np

from objectives.sessions.chains import Fleet


def fleet(seed: int, servers: int = 5, blocks: int = 8, arrivals: float = 0.2, *, alike: bool = False) -> Fleet:
    """A small random fleet that can hold its model several times; `alike`: all servers take 0.3 s and 0.1 s a block."""
    rng = np.random.default_rng(seed)
    memory = rng.integers(4, 14, servers) * 1000 + 600
    return Fleet(
        tuple(f"s{j}" for j in range(servers)),
        memory.astype(np.int64),
        np.full(servers, 0.3) if alike else rng.uniform(0.1, 1.0, servers),
        np.full(servers, 0.1) if alike else rng.uniform(0.1, 1.0, servers),
        blocks,
        1000,
        100,
        arrivals,
    )


def document(**changes: object) -> dict[str, object]:
    """A file of two servers."""
    server = {"memory_gb": 20.0, "tau_c_s": 0.3, "tau_p_s": 0.1}
    data: dict[str, object] = {
        "num_blocks": 12,
        "block_gb": 1.0,
        "cache_gb_per_block_job": 0.1,
        "lambda_per_s": 0.05,
        "servers": [{"id": "a", **server}, {"id": "b", **server}],
    }
    return data | changes
