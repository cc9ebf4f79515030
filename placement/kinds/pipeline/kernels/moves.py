"""Moves on pipelines: small changes of node order and cuts, and crossover; the genome is that of `pipeline.py`.

All moves keep a genome well formed (stages in block order, each with at least one block, neighbouring stages on
different nodes, no node twice unless ties or non-contiguous plans allow it); memory and limits are the score's.
"""

from __future__ import annotations

import numpy as np

from objectives.jit import copy
from objectives.pipeline.kernels.packed import CUT_ALLOWED
from placement.search.kernels import inner, kernel
from placement.search.kernels.draws import below, step_size

N_MOVES = 9


@inner
def snap(d, cut, low, high):
    """Return the allowed cut nearest to `cut` within [low, high], or -1."""
    for away in range(high - low + 1):
        if low <= cut - away <= high and d.cuts[cut - away, CUT_ALLOWED] > 0.0:
            return cut - away
        if low <= cut + away <= high and d.cuts[cut + away, CUT_ALLOWED] > 0.0:
            return cut + away
    return -1


@inner
def stage_of(genome, node):
    """Return the first stage on a node, or -1."""
    for s in range(genome[0]):
        if genome[1 + s] == node:
            return s
    return -1


@inner
def rebuild(nodes, sizes, count, d, out):
    """Write stages with the given nodes and block counts into `out`: cuts snapped, equal neighbours merged."""
    width = d.max_stages
    total = 0
    for s in range(count):
        total += sizes[s]
    stop, done, stages, last = 0, 0, 0, -1
    for s in range(count):
        done += sizes[s]
        target = d.n_blocks if s == count - 1 else done * d.n_blocks // total
        if s < count - 1:
            target = snap(d, max(target, stop + 1), stop + 1, d.n_blocks - 1) if stop + 1 <= d.n_blocks - 1 else -1
        if target <= stop:
            if s < count - 1:
                continue
            # The last stage found no block left: the one before it takes the rest.
            out[width + stages] = d.n_blocks
            break
        if nodes[s] == last:
            out[width + stages] = target
        elif stages < width:
            stages += 1
            out[stages] = nodes[s]
            out[width + stages] = target
            last = nodes[s]
        else:
            out[width + stages] = target
        stop = target
    out[width + stages] = d.n_blocks
    out[0] = stages
    for s in range(stages, width):
        out[1 + s] = 0
        out[1 + width + s] = 0


@inner
def repair(d, table, out):
    """Push cuts so that runs fit their nodes: leftwards from the end, then rightwards from the front.

    Stages keep their order and at least one block. The last stage takes what fits nowhere. `table` is `reach[f]`.
    """
    stages, width = out[0], d.max_stages
    for s in range(stages - 1, 0, -1):
        cut, low = out[width + s], table[0, out[1 + s], out[1 + width + s]]
        if cut < low:
            cut = min(low, out[1 + width + s] - 1)
            while cut < out[1 + width + s] - 1 and not d.cuts[cut, CUT_ALLOWED] > 0.0:
                cut += 1
            out[width + s] = cut
    start = 0
    for s in range(stages - 1):
        high = max(table[1, out[1 + s], start], start + 1)
        cut = out[1 + width + s]
        if cut > high or cut <= start:
            cut = max(min(cut, high), start + 1)
            while cut > start + 1 and not d.cuts[cut, CUT_ALLOWED] > 0.0:
                cut -= 1
            out[1 + width + s] = cut
        start = cut


@inner
def unused(genome, d, rng):
    """Return a node for a new run: an unused one, or any at all when nodes may hold several runs; -1 for none."""
    node = below(rng, d.n_nodes)
    if not d.contiguous:
        return node
    free = d.n_nodes
    for s in range(genome[0]):
        fresh = True
        for r in range(s):
            fresh &= genome[1 + r] != genome[1 + s]
        free -= 1 if fresh else 0
    if free <= 0:
        return -1
    pick = below(rng, free)
    for candidate in range(d.n_nodes):
        if stage_of(genome, candidate) < 0:
            if pick == 0:
                return candidate
            pick -= 1
    return -1


@inner
def shift_cut(genome, d, rng, out):
    """Move one cut; return False when it cannot move."""
    stages, width = genome[0], d.max_stages
    if stages < 2:
        return False
    s = below(rng, stages - 1)
    low = genome[width + s] + 1 if s > 0 else 1
    high = genome[2 + width + s] - 1
    cut = genome[1 + width + s]
    step = step_size(rng, max(1, high - low))
    wanted = cut - step if rng.random() < 0.5 else cut + step
    wanted = min(max(wanted, low), high)
    landed = snap(d, wanted, low, high)
    out[1 + width + s] = landed if landed > 0 else cut
    return out[1 + width + s] != cut


@inner
def shift_blocks(genome, d, rng, out):
    """Move a few blocks from one stage to another, those between sliding along; return False when impossible."""
    stages, width = genome[0], d.max_stages
    if stages < 3:
        return False
    a, b = below(rng, stages), below(rng, stages)
    if a == b:
        return False
    start = genome[width + a] if a > 0 else 0
    have = genome[1 + width + a] - start
    if have < 2:
        return False
    step = step_size(rng, have - 1)
    shift = step if a > b else -step
    for s in range(min(a, b), max(a, b)):
        cut = genome[1 + width + s] + shift
        if d.cuts[cut, CUT_ALLOWED] == 0.0:
            cut = snap(d, cut, 1, d.n_blocks - 1)
        out[1 + width + s] = cut
    before = 0
    for s in range(stages):
        if out[1 + width + s] <= before:
            return False
        before = out[1 + width + s]
    return True


@inner
def to_lists(genome, d, nodes, sizes):
    """Write nodes and block counts of the stages; return how many."""
    start = 0
    for s in range(genome[0]):
        nodes[s] = genome[1 + s]
        sizes[s] = genome[1 + d.max_stages + s] - start
        start = genome[1 + d.max_stages + s]
    return genome[0]


@kernel
def pipeline_neighbour(genome, d, rng, out):
    """Write a genome one random move away into `out` (a copy when the move drawn is impossible)."""
    copy(genome, out)
    stages, width = genome[0], d.max_stages
    move = below(rng, N_MOVES + 3)
    if move <= 1:
        shift_cut(genome, d, rng, out)
        return
    if move == 2:
        if not shift_blocks(genome, d, rng, out):
            copy(genome, out)
        return
    if move == 3 and stages >= 2:
        # Exchange two nodes, each stage keeping its blocks.
        a, b = below(rng, stages), below(rng, stages)
        out[1 + a], out[1 + b] = genome[1 + b], genome[1 + a]
        if d.contiguous and d.ties.shape[0] == 0 and rng.random() < 0.3:
            return
    nodes, sizes = np.empty(width + 2, np.int64), np.empty(width + 2, np.int64)
    count = to_lists(out, d, nodes, sizes)
    if move == 4:
        node = unused(genome, d, rng)
        if node < 0:
            return
        nodes[below(rng, stages)] = node
    elif move == 5:
        node = unused(genome, d, rng)
        s = below(rng, stages)
        if node < 0 or count >= width or sizes[s] < 2:
            return
        first = 1 + below(rng, sizes[s] - 1)
        if rng.random() < 0.5:
            first = 1 if rng.random() < 0.5 else sizes[s] - 1
        for r in range(count, s + 1, -1):
            nodes[r], sizes[r] = nodes[r - 1], sizes[r - 1]
        nodes[s + 1], sizes[s + 1] = node, sizes[s] - first
        sizes[s] = first
        if rng.random() < 0.5:
            nodes[s], nodes[s + 1] = nodes[s + 1], nodes[s]
        count += 1
    elif move == 6:
        if count < 2:
            return
        s = below(rng, count)
        other = s - 1 if s == count - 1 or (s > 0 and rng.random() < 0.5) else s + 1
        if rng.random() < 0.3:
            # Far away: every other stage may take the blocks.
            other = below(rng, count)
            if other == s:
                return
        sizes[other] += sizes[s]
        for r in range(s, count - 1):
            nodes[r], sizes[r] = nodes[r + 1], sizes[r + 1]
        count -= 1
    elif move == 7:
        # A stage moves to another place, its number of blocks with it.
        a, b = below(rng, count), below(rng, count)
        node, size = nodes[a], sizes[a]
        step = 1 if b > a else -1
        for r in range(a, b, step):
            nodes[r], sizes[r] = nodes[r + step], sizes[r + step]
        nodes[b], sizes[b] = node, size
    elif move == 8:
        # Exchange two stages, their numbers of blocks with them.
        a, b = below(rng, count), below(rng, count)
        nodes[a], nodes[b] = nodes[b], nodes[a]
        sizes[a], sizes[b] = sizes[b], sizes[a]
    elif move == 9:
        a, b = below(rng, count), below(rng, count)
        a, b = min(a, b), max(a, b)
        while a < b:
            nodes[a], nodes[b] = nodes[b], nodes[a]
            sizes[a], sizes[b] = sizes[b], sizes[a]
            a, b = a + 1, b - 1
    elif move == 10 and d.ties.shape[0] > 0:
        count = carve_tie(out, d, rng, nodes, sizes, count)
    elif move == 11 and d.n_nodes > count and d.contiguous:
        # Replace a node, and let the newcomer trade blocks with a neighbour.
        node = unused(genome, d, rng)
        if node < 0:
            return
        s = below(rng, count)
        nodes[s] = node
        other = s - 1 if s == count - 1 or (s > 0 and rng.random() < 0.5) else s + 1
        if 0 <= other < count and other != s:
            both = sizes[s] + sizes[other]
            sizes[s] = 1 + below(rng, max(1, both - 1))
            sizes[other] = both - sizes[s]
            if sizes[other] < 1:
                return
    elif move != 3:
        return
    rebuild(nodes, sizes, count, d, out)
    draw = rng.random()
    if draw < 0.9:
        repair(d, d.reach[1 if d.with_rate and draw < 0.6 else 0], out)


@inner
def carve_tie(genome, d, rng, nodes, sizes, count):
    """Give one block of a tie to the node that holds the other, as a run of its own; return the number of stages."""
    t = below(rng, d.ties.shape[0])
    side = below(rng, 2)
    block, other = d.ties[t, side], d.ties[t, 1 - side]
    start, s = 0, 0
    while start + sizes[s] <= block:
        start += sizes[s]
        s += 1
    begin, position = 0, 0
    while begin + sizes[position] <= other:
        begin += sizes[position]
        position += 1
    home = nodes[position]
    if nodes[s] == home or count + 2 > d.max_stages:
        return count
    before, after = block - start, start + sizes[s] - block - 1
    pieces = 1 + (before > 0) + (after > 0)
    for r in range(count - 1, s, -1):
        nodes[r + pieces - 1], sizes[r + pieces - 1] = nodes[r], sizes[r]
    node, place = nodes[s], s
    if before > 0:
        nodes[place], sizes[place] = node, before
        place += 1
    nodes[place], sizes[place] = home, 1
    place += 1
    if after > 0:
        nodes[place], sizes[place] = node, after
    return count + pieces - 1


@kernel
def pipeline_crossover(first, second, d, rng, out):
    """Order crossover: a run of stages of one parent, the rest in the order of the other."""
    nodes, sizes = np.empty(d.max_stages + 2, np.int64), np.empty(d.max_stages + 2, np.int64)
    other_nodes, other_sizes = np.empty_like(nodes), np.empty_like(sizes)
    kept, kept_sizes = np.empty_like(nodes), np.empty_like(sizes)
    n_first = to_lists(first, d, nodes, sizes)
    n_second = to_lists(second, d, other_nodes, other_sizes)
    a, b = below(rng, n_first), below(rng, n_first)
    a, b = min(a, b), max(a, b)
    begin = 0
    for s in range(a):
        begin += sizes[s]
    end = begin
    for s in range(a, b + 1):
        end += sizes[s]
    count = 0
    start = 0
    placed = False
    for s in range(n_second + 1):
        middle = start + (other_sizes[s] // 2 if s < n_second else 0)
        if not placed and (s == n_second or middle >= begin):
            for r in range(a, b + 1):
                if count < d.max_stages:
                    kept[count], kept_sizes[count] = nodes[r], sizes[r]
                    count += 1
            placed = True
        if s == n_second:
            break
        stop = start + other_sizes[s]
        taken = max(0, min(stop, end) - max(start, begin))
        repeated = False
        for r in range(a, b + 1):
            repeated |= nodes[r] == other_nodes[s]
        left = other_sizes[s] - taken
        if left > 0 and (not repeated or not d.contiguous) and count < d.max_stages:
            kept[count], kept_sizes[count] = other_nodes[s], left
            count += 1
        start = stop
    rebuild(kept, kept_sizes, count, d, out)
    repair(d, d.reach[1 if d.with_rate else 0], out)
