"""Greedy chains through a swarm, to begin from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from objectives.routes.swarm import FloatArray, IntArray, Shape, Swarm

LEVELS = 16  # least rates that greedy chains keep to
Rule = Callable[[int, IntArray], FloatArray]


def greedy_chains(swarm: Swarm, shape: Shape, holders: IntArray) -> IntArray:
    """Chains (n, L) for several least rates: at each block the best holder that is fast enough, kept to its end.

    Best: least seconds per block from here on, its hop included; or whoever reaches furthest; or the fastest.

    Parameters
    ----------
    swarm : Swarm
    shape : str
        "star" or "chain".
    holders : int array (L, 1 + J)
        Number of holders of each block, then the holders.
    """
    enter = swarm.enter_s(shape)[swarm.n_servers]

    def per_block(block: int, there: IntArray) -> FloatArray:
        seconds: FloatArray = enter[there] / (swarm.stops[there] - block) + swarm.block_s[there]
        return seconds

    def reach(block: int, there: IntArray) -> FloatArray:
        return np.asarray(enter[there] / (1.0 + enter.max()) - swarm.stops[there])

    def fastest(block: int, there: IntArray) -> FloatArray:
        return np.asarray(-swarm.rates[there])

    rates = np.unique(swarm.rates)
    levels = rates[np.unique(np.linspace(0, len(rates) - 1, LEVELS).astype(int))]
    chains = [greedy_chain(swarm, holders, rule, float(level)) for level in levels for rule in (per_block, reach)]
    chains.append(greedy_chain(swarm, holders, fastest, 0.0))
    return np.unique(np.stack([chain for chain in chains if chain is not None]), axis=0)


def greedy_chain(swarm: Swarm, holders: IntArray, cost: Rule, least: float) -> IntArray | None:
    """The holder of the least cost at each block that is not held yet, of those with at least `least` tokens/s.

    None where a block has no such holder.
    """
    out = np.zeros(swarm.n_blocks, dtype=np.int64)
    j = -1
    for block in range(swarm.n_blocks):
        if j < 0 or block >= swarm.stops[j]:
            there = holders[block, 1 : 1 + holders[block, 0]]
            there = there[swarm.rates[there] >= least]
            if not len(there):
                return None
            j = int(there[np.argmin(cost(block, there))])
        out[block] = j
    return out
