"""Shortest paths through a swarm, one block after another, and scores of chains; the state is the last block's server.

Searches know two costs that add up along a chain. The first has a part for each block, for each hop and for the way
back; the second one for each server that is entered and for each block. Which terms they stand for is up to the caller.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.jit import copy
from placement.search.kernels import inner, kernel
from placement.search.kernels.draws import below
from placement.search.kernels.encoding import provide

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BLOCK_S, RATE, LEAVE, STEP, PER_BLOCK = range(5)


class RouteData(NamedTuple):
    """What the kernels read.

    Attributes
    ----------
    spans : int array (J, 2)
    nodes : array (J, 5)
        Of a problem: seconds per block, tokens/s, seconds back to the client, -ln of survival, $ per block and token.
        A search may put other first and second costs in their places.
    enter : array (J + 1, J)
        Seconds from a server, or the client (last row), into another.
    holders : int array (L, 1 + J)
        Number of holders of each block, then the holders.
    weights, limits : array (4,)
        Of the objective over the terms of routes: latency, seconds per token of the slowest server, price, and the
        probability that some server leaves; limits are largest values.
    """

    spans: IntArray
    nodes: FloatArray
    enter: FloatArray
    holders: IntArray
    weights: FloatArray
    limits: FloatArray


@kernel
def shortest_route(d, least_rate, via, out):
    """Write the servers of the blocks of the cheapest chain of servers with at least that rate; infinite for none.

    The cost is the first one of `RouteData`. `via` is room (L, J) of the caller's own.
    """
    n, blocks = d.nodes.shape[0], d.holders.shape[0]
    before, now = np.full(n, np.inf), np.full(n, np.inf)
    for b in range(blocks):
        some = False
        for k in range(1, d.holders[b, 0] + 1):
            s = d.holders[b, k]
            lowest, best = np.inf, -1
            if d.nodes[s, RATE] >= least_rate:
                if b == 0:
                    lowest, best = d.enter[n, s], n
                else:
                    for r in range(1, d.holders[b - 1, 0] + 1):
                        i = d.holders[b - 1, r]
                        seconds = before[i] + (0.0 if i == s else d.enter[i, s])
                        if seconds < lowest:
                            lowest, best = seconds, i
            now[s] = lowest + d.nodes[s, BLOCK_S]
            via[b, s] = best
            some |= lowest < np.inf
        if not some:
            return np.inf
        before, now = now, before
    lowest, at = np.inf, -1
    for k in range(1, d.holders[blocks - 1, 0] + 1):
        s = d.holders[blocks - 1, k]
        if before[s] + d.nodes[s, LEAVE] < lowest:
            lowest, at = before[s] + d.nodes[s, LEAVE], s
    for b in range(blocks - 1, -1, -1):
        out[b] = at
        at = via[b, at]
    return lowest


@inner
def insert(values, ways, count, first, second, way, label):
    """Keep a list of pairs sorted and free of dominated ones; return its length, or -1 when it is full."""
    at = count
    while at > 0 and values[at - 1, 0] > first:
        at -= 1
    if at > 0 and values[at - 1, 1] <= second:
        return count
    last = at
    while last < count and values[last, 1] >= second:
        last += 1
    if last == at:
        if count >= values.shape[0]:
            return -1
        for k in range(count, at, -1):
            values[k, 0], values[k, 1] = values[k - 1, 0], values[k - 1, 1]
            ways[k, 0], ways[k, 1] = ways[k - 1, 0], ways[k - 1, 1]
        count += 1
    elif last > at + 1:
        for k in range(last, count):
            to = at + 1 + k - last
            values[to, 0], values[to, 1] = values[k, 0], values[k, 1]
            ways[to, 0], ways[to, 1] = ways[k, 0], ways[k, 1]
        count -= last - at - 1
    values[at, 0], values[at, 1] = first, second
    ways[at, 0], ways[at, 1] = way, label
    return count


@kernel
def route_ahead(d, least_rate, ahead):
    """Write the least first and the least second cost from after block b on server s to the end: (L, J, 2)."""
    blocks = d.holders.shape[0]
    for b in range(blocks - 1, -1, -1):
        for k in range(1, d.holders[b, 0] + 1):
            s = d.holders[b, k]
            if b == blocks - 1:
                ahead[b, s, 0], ahead[b, s, 1] = d.nodes[s, LEAVE], 0.0
                continue
            first = second = np.inf
            for r in range(1, d.holders[b + 1, 0] + 1):
                i = d.holders[b + 1, r]
                if d.nodes[i, RATE] >= least_rate:
                    first = min(first, ahead[b + 1, i, 0] + d.nodes[i, BLOCK_S] + (0.0 if i == s else d.enter[s, i]))
                    second = min(
                        second, ahead[b + 1, i, 1] + d.nodes[i, PER_BLOCK] + (0.0 if i == s else d.nodes[i, STEP])
                    )
            ahead[b, s, 0], ahead[b, s, 1] = first, second


@inner
def beaten(known, first, second):
    """Tell whether a pair of `known`, sorted by the first value with the second one falling, is nowhere above these."""
    low, high = 0, known.shape[0]
    while low < high:
        middle = (low + high) // 2
        if known[middle, 0] <= first:
            low = middle + 1
        else:
            high = middle
    return low > 0 and known[low - 1, 1] <= second


@kernel
def route_labels(d, least_rate, ahead, known, slack, values, ways, counts, out, results):
    """Chains of servers with at least that rate that no other one beats in both costs at once.

    A label is dropped when a known chain is no worse than `slack` times the best that could become of it.

    Parameters
    ----------
    ahead : array (L, J, 2)
        From `route_ahead`.
    known : array (M, 2)
        Values of known chains, as `beaten` wants them.
    slack : float
        One, or a little more.
    values : array (2, J + 1, K, 2)
        Labels of the last two blocks; the last row is the answer's.
    ways : int array (L + 1, J + 1, K, 2)
        The server and the label that each label came from.
    counts : int array (L + 1, J + 1)
    out : int array (K, L)
        Servers of the blocks of every answer.
    results : array (K, 2)

    Returns the number of answers, -1 when K labels are too few.
    """
    n, blocks = d.nodes.shape[0], d.holders.shape[0]
    for b in range(blocks + 1):
        for j in range(n + 1):
            counts[b, j] = 0
    for b in range(blocks):
        for k in range(1, d.holders[b, 0] + 1):
            s = d.holders[b, k]
            if d.nodes[s, RATE] < least_rate:
                continue
            if b == 0:
                first = d.enter[n, s] + d.nodes[s, BLOCK_S]
                second = d.nodes[s, STEP] + d.nodes[s, PER_BLOCK]
                values[0, s, 0, 0], values[0, s, 0, 1] = first, second
                ways[0, s, 0, 0] = n
                hopeless = beaten(known, slack * (first + ahead[b, s, 0]), slack * (second + ahead[b, s, 1]))
                counts[0, s] = 0 if hopeless else 1
                continue
            count = 0
            for r in range(1, d.holders[b - 1, 0] + 1):
                i = d.holders[b - 1, r]
                for m in range(counts[b - 1, i]):
                    first = values[(b - 1) % 2, i, m, 0] + d.nodes[s, BLOCK_S] + (0.0 if i == s else d.enter[i, s])
                    second = values[(b - 1) % 2, i, m, 1] + d.nodes[s, PER_BLOCK]
                    second += 0.0 if i == s else d.nodes[s, STEP]
                    if beaten(known, slack * (first + ahead[b, s, 0]), slack * (second + ahead[b, s, 1])):
                        continue
                    count = insert(values[b % 2, s], ways[b, s], count, first, second, i, m)
                    if count < 0:
                        return -1
            counts[b, s] = count
    count = 0
    for r in range(1, d.holders[blocks - 1, 0] + 1):
        i = d.holders[blocks - 1, r]
        for m in range(counts[blocks - 1, i]):
            first = values[(blocks - 1) % 2, i, m, 0] + d.nodes[i, LEAVE]
            count = insert(results, ways[blocks, n], count, first, values[(blocks - 1) % 2, i, m, 1], i, m)
            if count < 0:
                return -1
    for k in range(count):
        at, label = ways[blocks, n, k, 0], ways[blocks, n, k, 1]
        for b in range(blocks - 1, -1, -1):
            out[k, b] = at
            at, label = ways[b, at, label, 0], ways[b, at, label, 1]
    return count


@inner
def route_values(genome, d, out):
    """Write latency, seconds per token of the slowest server, price and the probability that some server leaves.

    Return the violation of the limits: over the terms beyond their limits, the part of the value that is too much.
    """
    at, latency, slowest, price, lost = d.nodes.shape[0], 0.0, 0.0, 0.0, 0.0
    for b in range(genome.shape[0]):
        j = genome[b]
        if j != at:
            latency += d.enter[at, j]
            lost += d.nodes[j, STEP]
            slowest = max(slowest, 1.0 / d.nodes[j, RATE])
        latency += d.nodes[j, BLOCK_S]
        price += d.nodes[j, PER_BLOCK]
        at = j
    out[0], out[1], out[2], out[3] = latency + d.nodes[at, LEAVE], slowest, price, -math.expm1(-lost)
    violation = 0.0
    for k in range(out.shape[0]):
        if out[k] > d.limits[k] * (1.0 + 1e-12):
            violation += 1.0 - d.limits[k] / out[k]
    return violation


@kernel
def route_terms(genomes, d, values, broken):
    """Terms (n, 4) in the order of `ROUTES` and violations (n,) of chains (n, L)."""
    for k in range(genomes.shape[0]):
        broken[k] = route_values(genomes[k], d, values[k])


@kernel
def route_cost(genome, d):
    """Cost and violation, for loops that want one cost; every genome is a valid chain."""
    values = np.empty(d.weights.shape[0])
    violation = route_values(genome, d, values)
    cost = 0.0
    for k in range(values.shape[0]):
        cost += d.weights[k] * values[k]
    return cost, violation


@inner
def take(out, d, j, start, stop):
    """Give server j those of the blocks that it holds."""
    for b in range(max(start, d.spans[j, 0]), min(stop, d.spans[j, 1])):
        out[b] = j


@kernel
def route_neighbour(genome, d, rng, out):
    """Another server takes a run around a block: its whole span, one stage, or up to where a stage begins or ends."""
    blocks = d.holders.shape[0]
    copy(genome, out)
    b = below(rng, blocks)
    j = d.holders[b, 1 + below(rng, d.holders[b, 0])]
    start, stop = b, b + 1
    while start > 0 and genome[start - 1] == genome[b]:
        start -= 1
    while stop < blocks and genome[stop] == genome[b]:
        stop += 1
    draw = rng.random()
    if draw < 0.35:
        take(out, d, j, 0, blocks)
    elif draw < 0.6:
        take(out, d, j, start, stop)
    elif draw < 0.8:
        take(out, d, j, start, blocks)
    elif draw < 0.95:
        take(out, d, j, 0, stop)
    else:
        take(out, d, j, b, b + 1 + below(rng, blocks - b))


@kernel
def route_crossover(first, second, d, rng, out):
    """Blocks between two cuts from the second parent, the rest from the first.

    The seams are repaired: a server cut in two by them takes back what lies between when it holds it.
    """
    blocks = first.shape[0]
    a, b = below(rng, blocks + 1), below(rng, blocks + 1)
    low, high = min(a, b), max(a, b)
    for k in range(blocks):
        out[k] = second[k] if low <= k < high else first[k]
    for cut in (low, high):
        if 0 < cut < blocks and out[cut] != out[cut - 1]:
            if rng.random() < 0.5:
                j, k = out[cut - 1], cut
                while k < blocks and k < d.spans[j, 1] and out[k] == out[cut] and rng.random() < 0.9:
                    k += 1
                take(out, d, j, cut, k)
            else:
                j, k = out[cut], cut - 1
                while k >= d.spans[j, 0] and rng.random() < 0.9:
                    k -= 1
                take(out, d, j, k + 1, cut)


@kernel
def route_from_keys(keys, d, out):
    """Decode one key per block: a server is kept as long as it reaches, its successor is drawn by the key."""
    j = -1
    for b in range(d.holders.shape[0]):
        if j < 0 or b >= d.spans[j, 1] or keys[b] > 0.93:
            j = d.holders[b, 1 + min(int(keys[b] * d.holders[b, 0]), d.holders[b, 0] - 1)]
        out[b] = j


provide(
    RouteData,
    evaluate=route_cost,
    neighbour=route_neighbour,
    crossover=route_crossover,
    from_keys=route_from_keys,
)
