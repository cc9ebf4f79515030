"""Stages of a replicated placement: read from spans, and sized as is best for the flow or for requests in flight."""

from __future__ import annotations

import numpy as np

from objectives.jit import fill
from objectives.replicated.kernels.flow import COUNT, KIND, NEXT, STOP, make_groups
from placement.search.kernels import inner, kernel


@kernel
def read_stages(genome, d, stage):
    """Write the stage of each node into `stage` (-1: idle) and the blocks of the stages into ``d.sizes[0]``.

    The stages are the widest chain of positions that spans lead along; a used node beside it joins the stage in which
    its middle lies. Returns the number of stages, 0 when no chain spans all blocks.
    """
    n, blocks, group = d.n_nodes, d.n_blocks, d.group
    make_groups(genome, d)
    wide, back = d.cover, d.holders
    fill(wide, blocks + 1, 0.0)
    wide[0] = np.inf
    for position in range(blocks):
        if wide[position] <= 0.0:
            continue
        g = d.head[position]
        while g >= 0:
            stop, total = group[STOP, g], 0.0
            h = d.head[position]
            while h >= 0:
                size = stop - position
                if group[STOP, h] == stop and size <= d.rate.shape[1]:
                    total += group[COUNT, h] * d.rate[group[KIND, h], size - 1]
                h = group[NEXT, h]
            total = min(total, wide[position])
            if total > wide[stop]:
                wide[stop], back[stop] = total, position
            g = group[NEXT, g]
    if wide[blocks] <= 0.0:
        return 0
    # Walk back; `d.bound` then says which stage a block belongs to.
    count, stop = 0, blocks
    while stop > 0:
        start = back[stop]
        for b in range(start, stop):
            d.bound[b] = count
        d.sizes[0, count] = stop - start
        count += 1
        stop = start
    for s in range(count // 2):
        d.sizes[0, s], d.sizes[0, count - 1 - s] = d.sizes[0, count - 1 - s], d.sizes[0, s]
    for i in range(n):
        start, stop = genome[i], genome[n + i]
        stage[i] = count - 1 - d.bound[(start + stop - 1) // 2] if stop > start else -1
    return count


@inner
def compact(stage, count, d):
    """Number the stages that have a node 0, 1, ... in their order; return how many there are."""
    used = d.sizes[1]
    fill(used, count, 0)
    for i in range(d.n_nodes):
        if stage[i] >= 0:
            used[stage[i]] = 1
    kept = 0
    for s in range(count):
        if used[s]:
            used[s] = kept
            kept += 1
    for i in range(d.n_nodes):
        if stage[i] >= 0:
            stage[i] = used[stage[i]]
    return kept


@inner
def fill_sizes(stage, count, d, worth):
    """Write the best numbers of blocks for the stages into ``d.sizes[0]``; return whether all blocks are covered.

    `worth` (kinds, k - 1) is what a node that holds k blocks carries: tokens/s (`d.rate`), or requests for whose caches
    it has room (`d.kv_room`). With C_s(k) that of all nodes of stage s, the largest F with
    sum_s max{k : C_s(k) >= F} >= L is found by giving blocks one by one to the stage that carries most with one more.
    C_s need not fall with k: so its maxima over k and more decide, a stage is then raised to a number of blocks at
    which it does carry F, and others are trimmed.
    """
    n, width, table, suffix, sizes = d.n_nodes, d.rate.shape[1], d.table, d.suffix, d.sizes[0]
    for s in range(count):
        fill(table[s], width, 0.0)
    for i in range(n):
        if stage[i] >= 0:
            row, rate = table[stage[i]], worth[d.kind[i]]
            for k in range(width):
                row[k] += rate[k]
    for s in range(count):
        most = 0.0
        for k in range(width - 1, -1, -1):
            most = max(most, table[s, k])
            suffix[s, k] = most
        suffix[s, width] = 0.0
        sizes[s] = 1
    flow = np.inf
    for s in range(count):
        flow = min(flow, suffix[s, 0])
    for _ in range(d.n_blocks - count):
        chosen, most = 0, -1.0
        for s in range(count):
            if suffix[s, sizes[s]] > most:
                chosen, most = s, suffix[s, sizes[s]]
        if most <= 0.0:
            return False
        sizes[chosen] += 1
        flow = min(flow, most)
    excess = 0
    for s in range(count):
        while table[s, sizes[s] - 1] < flow:
            sizes[s] += 1
            excess += 1
    if excess > 0:
        trim(count, flow, excess, d)
    return True


@inner
def trim(count, flow, excess, d):
    """Take `excess` blocks from stages, where possible so that none falls under `flow`."""
    table, sizes = d.table, d.sizes[0]
    for s in range(count):
        step = 1
        while excess >= step and step < sizes[s]:
            if table[s, sizes[s] - step - 1] >= flow:
                sizes[s] -= step
                excess -= step
                step = 1
            else:
                step += 1
        if excess == 0:
            return
    s = 0
    while excess > 0:
        if sizes[s % count] > 1:
            sizes[s % count] -= 1
            excess -= 1
        s += 1


@inner
def write_stages(stage, count, d, out):
    """Write the spans of stages with ``d.sizes[0]`` blocks; a node that cannot hold so many idles."""
    n, sizes, starts = d.n_nodes, d.sizes[0], d.sizes[1]
    position = 0
    for s in range(count):
        starts[s] = position
        position += sizes[s]
    for i in range(n):
        s = stage[i]
        if s >= 0 and sizes[s] <= d.most[d.kind[i]]:
            out[i], out[n + i] = starts[s], starts[s] + sizes[s]
        else:
            out[i], out[n + i] = 0, 0


@kernel
def decode_stages(stage, count, d, worth, out):
    """Size the stages by `worth`, write their spans; return False when they cannot hold all blocks."""
    count = compact(stage, count, d)
    if count == 0 or count > min(d.max_stages, d.n_blocks) or not fill_sizes(stage, count, d, worth):
        return False
    write_stages(stage, count, d, out)
    return True


@kernel
def stages_flow(genome, d):
    """Tokens/s of the scarcest block, links and network cards left out: the flow of stages with wide links."""
    n = d.n_nodes
    cover = d.cover
    fill(cover, d.n_blocks + 1, 0.0)
    for i in range(n):
        start, stop = genome[i], genome[n + i]
        if start < stop <= start + d.rate.shape[1]:
            rate = d.rate[d.kind[i], stop - start - 1]
            cover[start] += rate
            cover[stop] -= rate
    flow, total = np.inf, 0.0
    for b in range(d.n_blocks):
        total += cover[b]
        flow = min(flow, total)
    return flow
