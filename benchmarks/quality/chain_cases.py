"""Fleets drawn with the published BLOOM-176B parameters of arXiv:2604.14993: A100s and quarters of A100s.

They are of the same kind as a set of reference instances whose names tell how they were made: 10, 20 or 40 servers, 10,
20 or 40% of them fast, delays of two networks, prompts and outputs of three lengths, arrivals at 30 to 80% of what
GBP-CR + GCA serves. In the near network the servers go by their delay and the fast ones are the nearest; in the wide
one any are fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from objectives.sessions.baselines import all_servers, best_rate
from objectives.sessions.chains import Fleet, total_rate

BLOCKS, BLOCK_BYTES, CACHE_BYTES = 70, 1_320_000_000, 118_600_000
# Memory in bytes, FLOP/s, bytes/s of memory: a whole A100 80 GB and a partition of a quarter.
KINDS = ((79_130_000_000, 312e12, 2039e9), (20_000_000_000, 78e12, 510e9))
FLOPS_PER_TOKEN, OVERHEAD_S, HOP_S = 5e9, 1e-3, 0.05
SIZES = ((10, 0.1), (20, 0.2), (40, 0.4))
# Network and tokens in turn, as in the reference instances.
TURNS = (("near", 2000, 20), ("wide", 2000, 20), ("near", 512, 128), ("wide", 1000, 60))
# Round trips in s at these parts of all servers: the quantiles of 80 and 90 servers of the reference instances.
PARTS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
DELAYS_S = {
    "near": (0.0108, 0.0148, 0.0158, 0.0186, 0.0235, 0.0306, 0.0422),
    "wide": (0.0051, 0.0054, 0.0081, 0.0139, 0.0265, 0.0527, 0.0699),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A fleet and its name."""

    name: str
    fleet: Fleet


def drawn(seed: int) -> Case:
    """Draw one fleet; the number of servers, the network and the tokens follow from the seed's turn in 24."""
    rng = np.random.default_rng(90_000 + seed)
    servers, fast = SIZES[seed // 8 % 3]
    network, prompt, output = TURNS[seed % 4]
    load = 0.3 + 0.1 * float(rng.integers(6))
    rtt = np.interp(rng.random(servers), PARTS, DELAYS_S[network])
    kinds = np.ones(servers, dtype=int)
    if network == "near":
        rtt = np.sort(rtt)
        kinds[: round(servers * fast)] = 0
    else:
        kinds[rng.permutation(servers)[: round(servers * fast)]] = 0
    memory, flops, bandwidth = (np.array([KINDS[kind][k] for kind in kinds]) for k in range(3))
    block = prompt * FLOPS_PER_TOKEN / flops + (output - 1) * BLOCK_BYTES / bandwidth + OVERHEAD_S
    names = tuple(f"s{j}" for j in range(servers))
    fleet = Fleet(names, memory.astype(np.int64), output * rtt + HOP_S, block, BLOCKS, BLOCK_BYTES, CACHE_BYTES, 1.0)
    plan = best_rate(fleet, all_servers)
    assert plan is not None
    name = f"{servers} servers, {network}, {prompt}+{output} tokens, load {load:.1f}"
    return Case(name, replace(fleet, arrivals_per_s=load * total_rate(fleet, plan.chains)))
