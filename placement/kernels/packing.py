"""Search for a partition of nodes into stages that carries a given flow: with it fixed, stages do not depend on others.

A stage that must carry F tokens/s can hold max{k : C(k) >= F} blocks, C(k) being the tokens/s of its nodes with k
blocks each. The blocks of all stages must sum to L: a covering problem, in which one move touches two stages only.
"""

from __future__ import annotations

import math

import numpy as np

from . import kernel
from .moves import below

NEAR = 0.9  # worth of a block that is almost reached


@kernel
def worth(table, flow):  # type: ignore[no-untyped-def]
    """Return (blocks that a stage holds at `flow`, the same with a smooth part for the next block)."""
    best = 0.0
    for k in range(table.shape[0] - 1, -1, -1):
        if table[k] >= flow:
            return k + 1, k + 1 + NEAR * best
        x = table[k] / flow
        x *= x
        x *= x
        # Blocks beyond the next one count for less than what is held already, so the nearest dominates.
        best = max(best, x)
    return 0, NEAR * best


@kernel
def shift_rates(table, rate, sign):  # type: ignore[no-untyped-def]
    """Add a node's rates to a stage, or take them out."""
    for k in range(table.shape[0]):
        table[k] += sign * rate[k]


@kernel
def fill_tables(stage, d, tables, count, flow, held, value):  # type: ignore[no-untyped-def]
    """Compute all stages from scratch; return the blocks held by all."""
    tables[:] = 0.0
    count[:] = 0
    for i in range(d.n_nodes):
        if stage[i] >= 0:
            shift_rates(tables[stage[i]], d.rate[d.kind[i]], 1.0)
            count[stage[i]] += 1
    total = 0
    for s in range(tables.shape[0]):
        held[s], value[s] = worth(tables[s], flow) if count[s] >= d.min_replicas else (0, 0.0)
        total += held[s]
    return total


@kernel
def pack(stage, d, rng, flow, steps, hot, cold):  # type: ignore[no-untyped-def]
    """Anneal `stage` (in place; -1: idle) until its stages hold all blocks at `flow` or `steps` moves are spent.

    Temperatures are in blocks. Returns (success, moves spent).
    """
    n, slots = d.n_nodes, min(d.n_nodes, d.max_stages, d.n_blocks)
    width = d.rate.shape[1]
    tables, count = np.zeros((slots, width)), np.zeros(slots, np.int64)
    held, value = np.zeros(slots, np.int64), np.zeros(slots)
    total = fill_tables(stage, d, tables, count, flow, held, value)
    one, two = np.empty(width), np.empty(width)
    cooling = (cold / hot) ** (1.0 / max(1, steps))
    temperature = hot
    for step in range(steps):
        if total >= d.n_blocks:
            return True, step
        temperature *= cooling
        if step % 4096 == 4095:
            # Rounding errors of many additions and subtractions must not decide.
            total = fill_tables(stage, d, tables, count, flow, held, value)
        i = below(rng, n)
        a, j, b = stage[i], -1, 0
        draw = rng.random()
        if draw < 0.55:
            j = below(rng, n)
            b = stage[j]
            if d.kind[i] == d.kind[j]:
                continue
        else:
            # To the stage of another node, or, now and then, to a stage number that may be empty.
            b = stage[below(rng, n)] if draw < 0.97 else below(rng, slots)
        if a == b:
            continue
        first, second, change = 0.0, 0.0, 0.0
        held_a, held_b = 0, 0
        if a >= 0:
            one[:] = tables[a]
            shift_rates(one, d.rate[d.kind[i]], -1.0)
            if j >= 0:
                shift_rates(one, d.rate[d.kind[j]], 1.0)
            if count[a] - (j < 0) >= d.min_replicas:
                held_a, first = worth(one, flow)
            change += first - value[a]
        if b >= 0:
            two[:] = tables[b]
            shift_rates(two, d.rate[d.kind[i]], 1.0)
            if j >= 0:
                shift_rates(two, d.rate[d.kind[j]], -1.0)
            if count[b] + (j < 0) >= d.min_replicas:
                held_b, second = worth(two, flow)
            change += second - value[b]
        if change < 0.0 and rng.random() >= math.exp(change / temperature):
            continue
        stage[i] = b
        if j >= 0:
            stage[j] = a
        if a >= 0:
            total += held_a - held[a]
            tables[a], held[a], value[a] = one, held_a, first
            count[a] -= j < 0
        if b >= 0:
            total += held_b - held[b]
            tables[b], held[b], value[b] = two, held_b, second
            count[b] += j < 0
    return total >= d.n_blocks, steps
