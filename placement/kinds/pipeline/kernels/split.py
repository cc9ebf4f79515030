"""Optimal split of the blocks over nodes in a given order, nodes free to stay idle: a decoder for node orders.

For an additive cost (step time, prompt time, rent, energy, or any weighted sum of them) the split is optimal:

    best[k, l] = cheapest way to place blocks 0 .. l-1 with order[k] as the last node used
               = min over starts s that fit of  entry[s] + stage(order[k], s, l)
    entry[s]   = min over earlier nodes j of best[j, s] + hop(order[j], order[k], s)

Stage costs are differences of prefix sums, so the inner minimum is a sliding window (D. Lemire's monotone queue,
arXiv:cs/0610046) and the whole takes O(N^2 L) steps, or O(N^2 + N L) where most links are alike. `limit_s` bounds the
busy time of a stage: with it, the same recursion searches the trade-off between step time and bottleneck that
throughput needs.
"""

from __future__ import annotations

import numpy as np

from objectives.jit import copy
from objectives.pipeline.kernels.packed import (
    BOTTLENECK,
    CAPACITY,
    CUT_ALLOWED,
    CUT_BYTES,
    DECODE_RATE,
    KV,
    LATENCY,
    LINKED,
    PASSES,
    PER_BYTE,
    POWER,
    PRICE,
    PROMPT_BYTES,
    PROMPTS,
    SHORT_LOG,
    THROUGHPUT,
    TOKENS,
    WEIGHT,
)
from objectives.pipeline.kernels.scores import pipeline_cost, served_busy
from placement.search.kernels import inner, kernel


@inner
def additive(d, size):
    """Return prefix costs (N, L + 1), hop costs per byte-second factors and fixed costs of the additive part.

    `size` is the micro-batch index whose round trip stands in for a rate.
    """
    n, m, b = d.n_nodes, d.n_blocks, d.n_batches
    w = d.weights
    # request time = prompt + (output - 1) steps; bottleneck and rates are followed through their round trips.
    step = w[0] + w[2] * (d.output_tokens - 1)
    prompt = w[1] + w[2]
    batch = max(1.0, d.batches[size])
    rate, served = w[7] / batch + w[6] * 1e-3, w[3] / batch
    groups = min(d.concurrency / batch, float(n)) if d.staged else d.concurrency / batch
    part = 1.0 - np.exp(max(1.0, groups) * d.sizes[size, SHORT_LOG])
    stage = np.empty((n, m + 1))
    for i in range(n):
        for cut in range(m + 1):
            seconds = d.seconds[i, cut]
            stage[i, cut] = (step + w[5] * d.nodes[i, POWER]) * seconds[0] + prompt * seconds[b] + rate * seconds[size]
            stage[i, cut] += served * (d.served[i, cut, size] + part * d.served[i, cut, b + size])
    per_hop = step + prompt + rate + served * d.sizes[size, PASSES]
    on_token = step + rate * d.batches[size] + served * d.sizes[size, TOKENS]
    on_prompt = prompt + served * part * d.sizes[size, PROMPTS]
    volume = np.empty(m + 1)
    for cut in range(m + 1):
        volume[cut] = on_token * d.cuts[cut, CUT_BYTES] + on_prompt * d.cuts[cut, PROMPT_BYTES]
    fixed = w[4] * d.nodes[:, PRICE]
    return stage, per_hop, volume, fixed


@inner
def hop_cost(d, i, j, cut, per_hop, volume):
    """Cost of a hop, infinite without a link."""
    if d.links[i, j, LINKED] == 0.0:
        return np.inf
    return per_hop * d.links[i, j, LATENCY] + volume[cut] * d.links[i, j, PER_BYTE]


@inner
def busy_between(d, node, start, stop, size):
    """Busy seconds of a run per micro-batch: prompts included where throughput matters."""
    if d.with_served:
        return served_busy(d, node, start, stop, size)
    return d.seconds[node, stop, size] - d.seconds[node, start, size]


@inner
def first_starts(d, i, size, limit_s, fly, starts):
    """For every stop, write the smallest start of a stage on node i that fits and takes at most `limit_s`."""
    s = 0
    for stop in range(d.n_blocks + 1):
        while s < stop:
            need = d.cuts[stop, WEIGHT] - d.cuts[s, WEIGHT] + fly * (d.cuts[stop, KV] - d.cuts[s, KV])
            busy = busy_between(d, i, s, stop, size)
            if (
                need > d.nodes[i, CAPACITY] * (1 + 1e-12) + 1e-6
                or busy > limit_s
                or d.seconds[i, stop, d.n_batches + 1] > d.seconds[i, s, d.n_batches + 1]
            ):
                s += 1
            else:
                break
        starts[stop] = s


@inner
def usual_link(order, k, d):
    """Return an earlier place in the order whose link to its k-th node most earlier nodes have, -1 where none has it.

    The candidate wins a vote (R. S. Boyer and J. S. Moore, "MJRTY", 1991, doi:10.1007/978-94-011-3488-0_5). It is
    refused where another link is slower or missing: only without one is the best over all earlier nodes, at this link,
    never better than what they can do.
    """
    i, found, votes = order[k], -1, 0
    for j in range(k):
        if votes == 0:
            found, votes = j, 1
        elif alike(d, order[j], order[found], i):
            votes += 1
        else:
            votes -= 1
    if found < 0 or d.links[order[found], i, LINKED] == 0.0:
        return -1
    for j in range(k):
        if (
            d.links[order[j], i, LINKED] == 0.0
            or d.links[order[j], i, LATENCY] > d.links[order[found], i, LATENCY]
            or d.links[order[j], i, PER_BYTE] > d.links[order[found], i, PER_BYTE]
        ):
            return -1
    return found


@inner
def alike(d, one, other, target):
    """Return whether two nodes have the same link to a third."""
    return (
        d.links[one, target, LINKED] == d.links[other, target, LINKED]
        and d.links[one, target, LATENCY] == d.links[other, target, LATENCY]
        and d.links[one, target, PER_BYTE] == d.links[other, target, PER_BYTE]
    )


@inner
def approaches(order, d):
    """Return how each node of an order is come to: the place with its usual link, -1 where there is none, and others.

    The places whose link to the k-th node is another one are ``others[begins[k] : begins[k + 1]]``.
    """
    n = order.shape[0]
    usual, begins = np.empty(n, np.int64), np.zeros(n + 1, np.int64)
    for k in range(n):
        usual[k] = usual_link(order, k, d)
        begins[k + 1] = begins[k]
        for j in range(k):
            if other_link(order, j, k, usual[k], d):
                begins[k + 1] += 1
    others, count = np.empty(begins[n], np.int64), 0
    for k in range(n):
        for j in range(k if begins[k + 1] > begins[k] else 0):
            if other_link(order, j, k, usual[k], d):
                others[count] = j
                count += 1
    return usual, begins, others


@inner
def other_link(order, j, k, usual, d):
    """Return whether there is a link between two places of an order that is not the usual one."""
    i = order[k]
    return d.links[order[j], i, LINKED] != 0.0 and (usual < 0 or not alike(d, order[j], order[usual], i))


@inner
def come_from(row, j, latency, per_byte, volume, entry, entry_node):
    """Lower the entries of a stage to what coming from place `j` over one link costs; `row` has its costs so far."""
    for s in range(1, row.shape[0] - 1):
        total = row[s] + latency + volume[s] * per_byte
        if total < entry[s]:
            entry[s], entry_node[s] = total, j


@inner
def enter(order, k, d, ways, costs, best, ahead, ahead_node, entry, entry_node):
    """Write the cheapest way to come to the k-th node before each block, and the place in the order it comes from.

    Nodes that share a link are one: what the best of all nodes so far costs before each block is kept in `ahead`.
    """
    i, m = order[k], d.n_blocks
    usual, begins, others = ways
    _, per_hop, volume, _ = costs
    for s in range(m + 1):
        entry[s], entry_node[s] = np.inf, -1
    entry[0] = hop_cost(d, d.n_nodes, i, 0, per_hop, volume)
    if usual[k] >= 0:
        j = order[usual[k]]
        latency, per_byte = per_hop * d.links[j, i, LATENCY], d.links[j, i, PER_BYTE]
        for s in range(1, m):
            entry[s], entry_node[s] = ahead[s] + latency + volume[s] * per_byte, ahead_node[s]
    for number in range(begins[k], begins[k + 1]):
        j = others[number]
        latency, per_byte = per_hop * d.links[order[j], i, LATENCY], d.links[order[j], i, PER_BYTE]
        come_from(best[j], j, latency, per_byte, volume, entry, entry_node)
    for s in range(1, m):
        if d.cuts[s, CUT_ALLOWED] == 0.0:
            entry[s] = np.inf


@inner
def split_order(order, d, size, limit_s, fly, ways, costs, out):
    """Write the cheapest split of all blocks over nodes in `order` (a permutation) into `out`; return its cost.

    `fly` sequences must fit every node's memory; `ways` are those of `approaches`, `costs` of `additive`. The cost is
    infinite when no split fits.
    """
    n, m = order.shape[0], d.n_blocks
    stage, per_hop, volume, fixed = costs
    best = np.full((n, m + 1), np.inf)
    from_start = np.full((n, m + 1), -1, np.int64)
    from_node = np.full((n, m + 1), -1, np.int64)
    ahead = np.full(m + 1, np.inf)
    ahead_node = np.full(m + 1, -1, np.int64)
    entry = np.empty(m + 1)
    entry_node = np.empty(m + 1, np.int64)
    starts = np.empty(m + 1, np.int64)
    queue = np.empty(m + 1, np.int64)
    value = np.empty(m + 1)
    for k in range(n):
        i = order[k]
        enter(order, k, d, ways, costs, best, ahead, ahead_node, entry, entry_node)
        first_starts(d, i, size, limit_s, fly, starts)
        head, tail = 0, 0
        for stop in range(1, m + 1):
            s = stop - 1
            value[s] = entry[s] - stage[i, s]
            while tail > head and value[queue[tail - 1]] >= value[s]:
                tail -= 1
            queue[tail] = s
            tail += 1
            while head < tail and queue[head] < starts[stop]:
                head += 1
            if head < tail:
                s = queue[head]
                best[k, stop] = value[s] + stage[i, stop] + fixed[i]
                from_start[k, stop] = s
                from_node[k, stop] = entry_node[s]
                if best[k, stop] < ahead[stop]:
                    ahead[stop], ahead_node[stop] = best[k, stop], k
    return trace(order, d, best, from_start, from_node, per_hop, volume, out)


@inner
def trace(order, d, best, from_start, from_node, per_hop, volume, out):
    """Pick the last node, walk back, and write the genome; return its cost."""
    m, width = d.n_blocks, d.max_stages
    last, cheapest = -1, np.inf
    for k in range(order.shape[0]):
        total = best[k, m] + hop_cost(d, order[k], d.n_nodes, m, per_hop, volume)
        if total < cheapest:
            last, cheapest = k, total
    if last < 0:
        return np.inf
    count, stop, k = 0, m, last
    nodes, stops = np.empty(width, np.int64), np.empty(width, np.int64)
    while stop > 0 and count < width:
        nodes[count], stops[count] = order[k], stop
        count += 1
        stop, k = from_start[k, stop], from_node[k, stop]
    for k in range(out.shape[0]):
        out[k] = 0
    out[0] = count
    for s in range(count):
        out[1 + s] = nodes[count - 1 - s]
        out[1 + width + s] = stops[count - 1 - s]
    return cheapest


@inner
def fill_order(order, d, out):
    """First fit in the given order, the last node taking whatever is left: a fallback that always is well formed."""
    width, start, count = d.max_stages, 0, 0
    starts = np.empty(d.n_blocks + 1, np.int64)
    for k in range(out.shape[0]):
        out[k] = 0
    for k in range(order.shape[0]):
        first_starts(d, order[k], 0, np.inf, 1.0, starts)
        stop = start
        while stop < d.n_blocks and starts[stop + 1] <= start:
            stop += 1
        while stop > start and d.cuts[stop, CUT_ALLOWED] == 0.0:
            stop -= 1
        if stop > start and count < width:
            out[1 + count], out[1 + width + count] = order[k], stop
            count += 1
            start = stop
        if start >= d.n_blocks:
            break
    if count == 0:
        out[1] = order[0]
        count = 1
    out[width + count] = d.n_blocks
    out[0] = count


@kernel
def decode_order(order, d, tries, out):
    """Write the best pipeline found for a node order: optimal for additive objectives, else the best of `tries` limits.

    For rates, bottleneck and limited terms the limit on a stage's busy seconds is varied geometrically between
    the busiest stage of the split with the least step time and a fraction of it.
    """
    best_cost, best_violation = np.inf, np.inf
    trial = np.empty_like(out)
    fill_order(order, d, out)
    best_cost, best_violation = pipeline_cost(out, d)
    simple = d.weights[THROUGHPUT] == 0.0 and d.weights[BOTTLENECK] == 0.0 and d.weights[DECODE_RATE] == 0.0
    sizes, ways = 1 if simple else d.n_batches, approaches(order, d)
    for size in range(sizes - 1, -1, -1):
        fly = 1.0 if simple else min(float(d.concurrency), max(1.0, d.batches[size]))
        limit_s, costs = np.inf, additive(d, size)
        for _attempt in range(1 if simple else tries):
            if not np.isfinite(split_order(order, d, size, limit_s, fly, ways, costs, trial)):
                break
            cost, violation = pipeline_cost(trial, d)
            if (violation, cost) < (best_violation, best_cost):
                best_cost, best_violation = cost, violation
                copy(trial, out)
            start, busiest = 0, 0.0
            for s in range(trial[0]):
                stop = trial[1 + d.max_stages + s]
                node = trial[1 + s]
                busiest = max(busiest, busy_between(d, node, start, stop, size))
                start = stop
            limit_s = busiest * 0.93
    return best_cost, best_violation


@kernel
def pipeline_from_keys(keys, d, out):
    """Random keys: nodes in ascending order of their keys, split by `decode_order`; keys of 1 and more idle a node.

    J. C. Bean, "Genetic algorithms and random keys for sequencing and optimization", ORSA J. Comput. 6(2), 1994,
    doi:10.1287/ijoc.6.2.154.
    """
    order = np.argsort(keys)
    keep = 0
    for k in range(order.shape[0]):
        if keys[order[k]] < 1.0:
            keep += 1
    decode_order(order[: max(1, keep)], d, 6, out)
