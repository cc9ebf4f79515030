"""Disjoint chains: servers in groups, each group one chain whose servers keep room for the same number of sessions.

A genome is the group of each of J servers, then the most sessions that each of G groups may reserve for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.jit import copy
from objectives.sessions.chains import Fleet
from objectives.sessions.kernels.scores import CAPACITY, HEAD, NEXT, ChainData, cost_of
from objectives.sessions.terms import RATE
from placement.search.kernels import inner, kernel
from placement.search.kernels.draws import below, step_size
from placement.search.kernels.encoding import provide


class GroupData(NamedTuple):
    """What the kernels read.

    Attributes
    ----------
    chains : ChainData
        The fleet, and scratch.
    held : int array (J, S + 1)
        Blocks that a server holds beside room for s sessions on all of them.
    order : int array (J,)
        Servers, the least seconds per block first.
    groups : int
        G.
    """

    chains: ChainData
    held: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    groups: int


def group_data(fleet: Fleet, chains: ChainData) -> GroupData:
    """Pack a fleet for the kernels."""
    most = max(1, int((fleet.memory_bytes.max() - fleet.block_bytes) // fleet.cache_bytes))
    per_block = fleet.block_bytes + fleet.cache_bytes * np.arange(most + 1)
    held = np.minimum(fleet.memory_bytes[:, None] // per_block[None, :], fleet.n_blocks).astype(np.int64)
    groups = max(1, min(fleet.n_servers, int(held[:, 1].sum()) // fleet.n_blocks))
    return GroupData(chains, held, np.argsort(fleet.block_s, kind="stable").astype(np.int64), groups)


@inner
def blocks_of(g, d, sessions):
    """Blocks that group g holds when it keeps room for that many sessions."""
    total, j = 0, d.chains.ints[HEAD, g]
    while j >= 0:
        total += d.held[j, sessions]
        j = d.chains.ints[NEXT, j]
    return total


@inner
def seconds_of(g, d, sessions):
    """Seconds of group g's chain, its fastest servers filled first."""
    seconds, left, j = 0.0, d.chains.n_blocks, d.chains.ints[HEAD, g]
    while j >= 0 and left > 0:
        used = min(left, d.held[j, sessions])
        if used > 0:
            seconds += d.chains.seconds[j, 0] + d.chains.seconds[j, 1] * used
        left -= used
        j = d.chains.ints[NEXT, j]
    return seconds


@inner
def line_up(genome, d):
    """Link the servers of each group, the fastest first."""
    ints = d.chains.ints
    for g in range(d.groups):
        ints[HEAD, g] = -1
    for k in range(d.order.shape[0] - 1, -1, -1):
        j = d.order[k]
        ints[NEXT, j] = ints[HEAD, genome[j]]
        ints[HEAD, genome[j]] = j


@inner
def sessions_of(g, genome, d):
    """Sessions that group g reserves for: as many as allowed and possible, a few less where that serves more; or 0."""
    need = d.chains.n_blocks
    low, high = 0, min(genome[d.order.shape[0] + g], d.held.shape[1] - 1)
    while low < high:
        middle = (low + high + 1) // 2
        if blocks_of(g, d, middle) >= need:
            low = middle
        else:
            high = middle - 1
    if d.chains.goal != RATE or low < 2:
        return low
    best, chosen = 0.0, low
    for sessions in range(low, max(0, low - 3), -1):
        rate = sessions / seconds_of(g, d, sessions)
        if rate > best:
            best, chosen = rate, sessions
    return chosen


@kernel
def group_cost(genome, d):
    """Return (cost, violation), as `chain_cost` does."""
    line_up(genome, d)
    ints, floats = d.chains.ints, d.chains.floats
    count, rate = 0, 0.0
    for g in range(d.groups):
        sessions = sessions_of(g, genome, d)
        if sessions == 0:
            continue
        seconds = seconds_of(g, d, sessions)
        rate += sessions / seconds
        k = count
        while k > 0 and floats[1, k - 1] > seconds:
            floats[1, k] = floats[1, k - 1]
            ints[CAPACITY, k] = ints[CAPACITY, k - 1]
            k -= 1
        floats[1, k] = seconds
        ints[CAPACITY, k] = sessions
        count += 1
    if count == 0:
        return 1.0, 2.0
    return cost_of(d.chains, count, rate)


@kernel
def group_batch(genomes, d, costs, violations):
    """Fill costs and violations of genomes (n, J + G)."""
    for k in range(genomes.shape[0]):
        costs[k], violations[k] = group_cost(genomes[k], d)


@kernel
def group_spans(genome, d, starts, sizes):
    """Write every server's first block and number of blocks; 0 blocks for a server that its chain does not need."""
    line_up(genome, d)
    for j in range(d.order.shape[0]):
        starts[j] = sizes[j] = 0
    for g in range(d.groups):
        sessions = sessions_of(g, genome, d)
        left, j = d.chains.n_blocks, d.chains.ints[HEAD, g]
        while sessions > 0 and j >= 0 and left > 0:
            sizes[j] = min(left, d.held[j, sessions])
            starts[j] = d.chains.n_blocks - left
            left -= sizes[j]
            j = d.chains.ints[NEXT, j]


@kernel
def group_neighbour(genome, d, rng, out):
    """Move a server to another group, exchange two, or change what a group reserves for."""
    n = d.order.shape[0]
    copy(genome, out)
    j, draw = below(rng, n), rng.random()
    if d.chains.goal != RATE and draw < 0.3:
        g = n + genome[j]
        step = step_size(rng, 8)
        out[g] = max(1, min(genome[g] + (step if rng.random() < 0.5 else -step), d.held.shape[1] - 1))
    elif draw < 0.65:
        out[j] = below(rng, d.groups)
    else:
        k = below(rng, n)
        out[j] = genome[k]
        out[k] = genome[j]


@kernel
def group_crossover(first, second, d, rng, out):
    """Take every server's group from one of two parents."""
    share = 0.5 + 0.5 * rng.random()
    for k in range(first.shape[0]):
        out[k] = first[k] if rng.random() < share else second[k]


@kernel
def group_from_keys(keys, d, out):
    """Decode keys (J + G)."""
    n = d.order.shape[0]
    for j in range(n):
        out[j] = min(int(keys[j] * d.groups), d.groups - 1)
    for g in range(d.groups):
        out[n + g] = max(1, min(int(keys[n + g] * d.held.shape[1]), d.held.shape[1] - 1))


provide(
    GroupData,
    evaluate=group_cost,
    neighbour=group_neighbour,
    crossover=group_crossover,
    from_keys=group_from_keys,
)
