"""Fleets drawn with the published BLOOM-176B parameters of arXiv:2604.14993: A100s and quarters of A100s."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from objectives.chains import Fleet, total_rate
from placement.chains.baselines import all_servers, best_rate

BLOCKS, BLOCK_BYTES, CACHE_BYTES = 70, 1_320_000_000, 118_600_000
# Memory in bytes, FLOP/s, bytes/s of memory: a whole A100 80 GB and a partition of a quarter.
KINDS = ((79_130_000_000, 312e12, 2039e9), (20_000_000_000, 78e12, 510e9))
FLOPS_PER_TOKEN, OVERHEAD_S, HOP_S = 5e9, 1e-3, 0.05
TOKENS = ((2000, 20), (1000, 60), (512, 128))
SIZES = ((10, 0.1), (20, 0.2), (40, 0.4))


@dataclass(frozen=True, slots=True)
class Case:
    """A fleet and its name."""

    name: str
    fleet: Fleet


def drawn(seed: int) -> Case:
    """Draw one fleet; the number of servers, the network, the tokens and the load follow from the seed."""
    rng = np.random.default_rng(90_000 + seed)
    servers, fast = SIZES[seed % 3]
    wide = bool(seed // 3 % 2)
    prompt, output = TOKENS[seed // 2 % 3]
    load = 0.3 + 0.1 * float(rng.integers(6))
    kinds = np.zeros(servers, dtype=int)
    kinds[rng.permutation(servers)[round(servers * fast) :]] = 1
    rtt = 0.005 + rng.exponential(0.015, servers) if wide else 0.014 + rng.exponential(0.009, servers)
    memory, flops, bandwidth = (np.array([KINDS[kind][k] for kind in kinds]) for k in range(3))
    block = prompt * FLOPS_PER_TOKEN / flops + (output - 1) * BLOCK_BYTES / bandwidth + OVERHEAD_S
    names = tuple(f"s{j}" for j in range(servers))
    fleet = Fleet(names, memory.astype(np.int64), output * rtt + HOP_S, block, BLOCKS, BLOCK_BYTES, CACHE_BYTES, 1.0)
    plan = best_rate(fleet, all_servers)
    assert plan is not None
    name = f"{servers} servers, {'wide' if wide else 'near'}, {prompt}+{output} tokens, load {load:.1f}"
    return Case(name, replace(fleet, arrivals_per_s=load * total_rate(fleet, plan.chains)))
