"""Search for a partition of nodes into stages that carries a given flow: with it fixed, stages do not depend on others.

A *unit* is a pair of stages in a row, and nodes that hold the blocks of both beside them. Its nodes lie in three
*slots*: 3u the first stage, 3u + 1 the second, 3u + 2 both. A stage that must carry F tokens/s can hold
max{k : C(k) >= F} blocks, C(k) being the tokens/s of its nodes with k blocks each; nodes that hold both stages take
their part of F off them. The blocks of all units must sum to L: a covering problem, in which a move touches two units.
"""

from __future__ import annotations

import math

import numpy as np

from objectives.jit import copy, fill
from placement.search.kernels import inner, kernel
from placement.search.kernels.draws import below

NEAR = 0.6  # worth of a block that is almost reached


@inner
def worth(table, flow):
    """Return (blocks that a stage holds at `flow`, the same with a smooth part for the next ones)."""
    # Blocks beyond the next one count by the one that is nearest to running at `flow`.
    most, held = 0.0, 0
    for k in range(table.shape[0] - 1, -1, -1):
        rate = table[k]
        if rate >= flow:
            held = k + 1
            break
        most = max(most, rate)
    most /= flow
    most *= most
    return held, held + NEAR * most * most


@inner
def stage_blocks(table, flow, most):
    """Return max{k <= most : C(k) >= flow}, 0 when there is none."""
    for k in range(min(table.shape[0], most), 0, -1):
        if table[k - 1] >= flow:
            return k
    return 0


@inner
def split_unit(tables, u, flow):
    """Return (blocks of the first stage, of the second) with the most blocks that unit `u` holds at `flow`."""
    first, second, both = tables[3 * u], tables[3 * u + 1], tables[3 * u + 2]
    width = first.shape[0]
    if both[0] > 0.0:
        for total in range(width, 1, -1):
            rest = flow - both[total - 1]
            if both[total - 1] <= 0.0:
                continue
            if rest <= 0.0:
                return total, 0
            a = stage_blocks(first, rest, total - 1)
            b = stage_blocks(second, rest, total - 1)
            if a > 0 and b > 0 and a + b >= total:
                # Blocks beyond the total come off the stage that has more of them.
                over = a + b - total
                take = min(over, max(0, a - max(1, b - over)))
                return a - take, b - (over - take)
    return stage_blocks(first, flow, width), stage_blocks(second, flow, width)


@inner
def unit_worth(tables, u, flow, apart):
    """Return (blocks that a unit holds at `flow`, the same with a smooth part for the next ones).

    `apart` (slots, 2) has the worth of single stages.
    """
    first, second, both = tables[3 * u], tables[3 * u + 1], tables[3 * u + 2]
    held, value = apart[3 * u, 0] + apart[3 * u + 1, 0], apart[3 * u, 1] + apart[3 * u + 1, 1]
    if both[0] <= 0.0:
        return held, value
    a, b = split_unit(tables, u, flow)
    best = 0.0
    total = a + b + 1
    if total <= first.shape[0]:
        for k in range(1, total):
            best = max(best, both[total - 1] + min(first[k - 1], second[total - k - 1]))
        best = min(best / flow, 1.0)
        best *= best
        best *= best
    joined = float(a + b)
    if joined > held or (joined == held and joined + NEAR * best > value):
        return joined, joined + NEAR * best
    return held, value


@inner
def shift_rates(table, rate, sign):
    """Add a node's rates to a slot, or take them out."""
    for k in range(table.shape[0]):
        table[k] += sign * rate[k]
        if table[k] < 1e-9:
            # What is left when all nodes are gone is rounding.
            table[k] = 0.0


@inner
def fill_tables(slot, d, tables, flow, apart, held, value):
    """Compute all units from scratch; return the blocks held by all."""
    for s in range(tables.shape[0]):
        fill(tables[s], tables.shape[1], 0.0)
    for i in range(d.n_nodes):
        if slot[i] >= 0:
            shift_rates(tables[slot[i]], d.rate[d.kind[i]], 1.0)
    return weigh_all(tables, flow, apart, held, value)


@inner
def weigh_all(tables, flow, apart, held, value):
    """Compute what all units hold at `flow`; return the blocks held by all."""
    total = 0.0
    for u in range(held.shape[0]):
        for k in range(3 * u, 3 * u + 2):
            apart[k, 0], apart[k, 1] = worth(tables[k], flow)
        held[u], value[u] = unit_worth(tables, u, flow, apart)
        total += held[u]
    return total


@kernel
def pack(slot, d, rng, flow, steps, hot, cold, double):
    """Anneal `slot` (in place; -1: idle) until its units hold all blocks at `flow` or `steps` moves are spent.

    Temperatures are in blocks; `double` is the probability of moves to slots that hold both stages of a unit.
    Returns (success, moves spent).
    """
    n, width = d.n_nodes, d.rate.shape[1]
    units = (min(n, d.max_stages, d.n_blocks) + 1) // 2
    tables = np.zeros((3 * units, width))
    apart, held, value = np.zeros((3 * units, 2)), np.zeros(units), np.zeros(units)
    total = fill_tables(slot, d, tables, flow, apart, held, value)
    one, two = np.empty(width), np.empty(width)
    cooling = (cold / hot) ** (1.0 / max(1, steps))
    temperature = hot
    for step in range(steps):
        if total >= d.n_blocks:
            return True, step
        temperature *= cooling
        if step % 4096 == 4095:
            # Rounding errors of many additions and subtractions must not decide.
            total = fill_tables(slot, d, tables, flow, apart, held, value)
        i = below(rng, n)
        a, j, b = slot[i], -1, 0
        draw = rng.random()
        if draw < 0.55:
            j = below(rng, n)
            b = slot[j]
            if d.kind[i] == d.kind[j]:
                continue
        elif draw < 0.97:
            b = slot[below(rng, n)]
            if b >= 0 and rng.random() < double:
                b = b - b % 3 + 2
        else:
            b = 3 * below(rng, units) + (1 if rng.random() < 0.5 else 0)
        if a == b:
            continue
        # Keep what a refused move must restore.
        if a >= 0:
            copy(tables[a], one)
            shift_rates(tables[a], d.rate[d.kind[i]], -1.0)
            if j >= 0:
                shift_rates(tables[a], d.rate[d.kind[j]], 1.0)
        if b >= 0:
            copy(tables[b], two)
            shift_rates(tables[b], d.rate[d.kind[i]], 1.0)
            if j >= 0:
                shift_rates(tables[b], d.rate[d.kind[j]], -1.0)
        u, v = (a // 3 if a >= 0 else -1), (b // 3 if b >= 0 else -1)
        held_u, worth_u, held_v, worth_v, change = 0.0, 0.0, 0.0, 0.0, 0.0
        held_a, worth_a, held_b, worth_b = 0.0, 0.0, 0.0, 0.0
        if a >= 0 and a % 3 < 2:
            held_a, worth_a = apart[a, 0], apart[a, 1]
            apart[a, 0], apart[a, 1] = worth(tables[a], flow)
        if b >= 0 and b % 3 < 2:
            held_b, worth_b = apart[b, 0], apart[b, 1]
            apart[b, 0], apart[b, 1] = worth(tables[b], flow)
        if u >= 0:
            held_u, worth_u = unit_worth(tables, u, flow, apart)
            change += worth_u - value[u]
        if v >= 0 and v != u:
            held_v, worth_v = unit_worth(tables, v, flow, apart)
            change += worth_v - value[v]
        if change < 0.0 and rng.random() >= math.exp(change / temperature):
            if a >= 0:
                copy(one, tables[a])
                apart[a, 0], apart[a, 1] = held_a, worth_a
            if b >= 0:
                copy(two, tables[b])
                apart[b, 0], apart[b, 1] = held_b, worth_b
            continue
        slot[i] = b
        if j >= 0:
            slot[j] = a
        if u >= 0:
            total += held_u - held[u]
            held[u], value[u] = held_u, worth_u
        if v >= 0 and v != u:
            total += held_v - held[v]
            held[v], value[v] = held_v, worth_v
    return total >= d.n_blocks, steps


@kernel
def best_target(slot, d, flow):
    """Largest flow, from `flow` on, at which the units of a partition hold all blocks; by bisection."""
    units = (min(d.n_nodes, d.max_stages, d.n_blocks) + 1) // 2
    tables = np.zeros((3 * units, d.rate.shape[1]))
    apart, held, value = np.zeros((3 * units, 2)), np.zeros(units), np.zeros(units)
    if fill_tables(slot, d, tables, flow, apart, held, value) < d.n_blocks:
        return 0.0
    low, high = flow, 2.0 * flow
    for _ in range(50):
        middle = (low + high) / 2
        total = weigh_all(tables, middle, apart, held, value)
        if total >= d.n_blocks:
            low = middle
        else:
            high = middle
    return low


@kernel
def unpack(slot, d, flow, out):
    """Write the spans of units that hold all blocks at `flow`; superfluous blocks come off the larger stages."""
    n, blocks = d.n_nodes, d.n_blocks
    units = (min(n, d.max_stages, blocks) + 1) // 2
    tables = np.zeros((3 * units, d.rate.shape[1]))
    apart, held, value = np.zeros((3 * units, 2)), np.zeros(units), np.zeros(units)
    excess = fill_tables(slot, d, tables, flow, apart, held, value) - blocks
    position = 0
    fill(out, 2 * n, 0)
    for u in range(units):
        a = stage_blocks(tables[3 * u], flow, d.rate.shape[1])
        b = stage_blocks(tables[3 * u + 1], flow, d.rate.shape[1])
        joined_a, joined_b = split_unit(tables, u, flow)
        joined = joined_a + joined_b > a + b
        if joined:
            a, b = joined_a, joined_b
        while excess > 0 and a + b > 0:
            if a >= b:
                a -= 1
            else:
                b -= 1
            excess -= 1
        for i in range(n):
            if slot[i] < 0 or slot[i] // 3 != u:
                continue
            part = slot[i] % 3
            start = position + (a if part == 1 else 0)
            stop = position + (a if part == 0 else a + b)
            if 0 < stop - start <= d.most[d.kind[i]]:
                out[i], out[n + i] = start, stop
        position += a + b
