"""Walks: pipelines that may come back to a node. The cheapest one costs no more than the cheapest pipeline.

    best[t, l]  = cheapest walk over blocks 0 .. l-1 that ends with a stage on type t
                = min over starts s that fit of  entry[t, s] + stage(t, s, l)
    entry[t, s] = min over types j of  best[j, s] + hop(j, t, s)

"q-routes" of N. Christofides, A. Mingozzi, P. Toth, "State-space relaxation procedures for the computation of bounds to
routing problems", Networks 11(2), 1981, doi:10.1002/net.3230110207, here over blocks. A walk may not return to a type
at once (i, j, i) unless the type is `repeated`: so the two best walks with different types before the last are kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.jit import kernel

from .stages import hop

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Walks(NamedTuple):
    """Tables (2, T, L + 1): the two least costs and the types that they came from (T: the client, -1: none)."""

    best: FloatArray
    before: IntArray
    entry: FloatArray
    came: IntArray


def walk_tables(n_types: int, n_blocks: int) -> Walks:
    """Empty tables."""
    shape = (2, n_types, n_blocks + 1)
    return Walks(np.empty(shape), np.empty(shape, np.int64), np.empty(shape), np.empty(shape, np.int64))


@kernel
def keep_two(values, origins, t, place, total, origin):
    """Keep the two least totals of different origins."""
    if total < values[0, t, place]:
        if origin != origins[0, t, place]:
            values[1, t, place], origins[1, t, place] = values[0, t, place], origins[0, t, place]
        values[0, t, place], origins[0, t, place] = total, origin
    elif total < values[1, t, place] and origin != origins[0, t, place]:
        values[1, t, place], origins[1, t, place] = total, origin


@kernel
def cheapest_walk(d, repeated, w):
    """Fill the tables; return (cost, last type) of the cheapest walk, infinite and -1 when there is none."""
    n, m = d.fixed.shape[0], d.volume.shape[0] - 1
    for rank in range(2):
        for t in range(n):
            for s in range(m + 1):
                w.best[rank, t, s], w.entry[rank, t, s] = np.inf, np.inf
                w.before[rank, t, s], w.came[rank, t, s] = -1, -1
    for t in range(n):
        w.entry[0, t, 0] = hop(d, n, t, 0)
        w.came[0, t, 0] = n
    for stop in range(1, m + 1):
        for t in range(n):
            added = d.stage[t, stop] + d.fixed[t]
            for s in range(d.low[t, stop], d.high[t, stop] + 1):
                for rank in range(2):
                    total = w.entry[rank, t, s] - d.stage[t, s] + added
                    if total < w.best[1, t, stop]:
                        keep_two(w.best, w.before, t, stop, total, w.came[rank, t, s])
        if stop == m or not d.cut_allowed[stop]:
            continue
        size, volume = d.cut_bytes[stop], d.volume[stop]
        for j in range(n):
            first, back = w.best[0, j, stop], w.before[0, j, stop]
            if first == np.inf:
                continue
            for t in range(n):
                base = w.best[1, j, stop] if t == back and not repeated[t] else first
                total = base + (d.latency[j, t] + volume * d.per_byte[j, t])
                if total < w.entry[1, t, stop] and size <= d.most_bytes[j, t]:
                    keep_two(w.entry, w.came, t, stop, total, j)
    cost, last = np.inf, -1
    for t in range(n):
        total = w.best[0, t, m] + hop(d, t, n, m)
        if total < cost:
            cost, last = total, t
    return cost, last


@kernel
def trace_walk(d, repeated, w, last, types, starts):
    """Write types and starts of the stages of the walk that ends with type `last`, last first; return how many."""
    t, stop, rank, count = last, d.volume.shape[0] - 1, 0, 0
    while stop > 0:
        origin = w.before[rank, t, stop]
        least, start = np.inf, -1
        for s in range(d.low[t, stop], d.high[t, stop] + 1):
            for r in range(2):
                if w.came[r, t, s] == origin and w.entry[r, t, s] - d.stage[t, s] < least:
                    least, start = w.entry[r, t, s] - d.stage[t, s], s
        types[count], starts[count] = t, start
        count += 1
        if start <= 0:
            break
        rank = 1 if w.before[0, origin, start] == t and not repeated[t] else 0
        t, stop = origin, start
    return count


@kernel
def cover(d, counts, first, last):
    """Least cost of covering as many blocks as `first` .. `last` - 1 are, each node once, with its cheapest hop.

    Every node takes its cheapest run within that range, wherever it lies; blocks outside are added where they cost
    least.
    """
    n, m = d.fixed.shape[0], d.volume.shape[0] - 1
    wanted = last - first
    total = np.full(wanted + 1, np.inf)
    total[0] = 0.0
    # Over all cuts at once a hop costs no less than with the fewest bytes.
    bytes_least, volume_least = np.inf, np.inf
    for cut in range(1, m):
        if d.cut_allowed[cut]:
            bytes_least = min(bytes_least, d.cut_bytes[cut])
            volume_least = min(volume_least, d.volume[cut])
    piece, grown = np.empty(wanted + 1), np.empty(wanted + 1)
    back = np.inf
    for t in range(n):
        back = min(back, hop(d, t, n, m))
        into = hop(d, n, t, 0)
        if bytes_least < np.inf:
            for j in range(n):
                if bytes_least <= d.most_bytes[j, t]:
                    into = min(into, d.latency[j, t] + volume_least * d.per_byte[j, t])
        piece[:] = np.inf
        longest = 0
        for stop in range(first + 1, last + 1):
            for s in range(max(first, d.low[t, stop]), stop):
                piece[stop - s] = min(piece[stop - s], d.stage[t, stop] - d.stage[t, s])
                longest = max(longest, stop - s)
        for _ in range(counts[t]):
            for done in range(wanted + 1):
                grown[done] = total[done]
            for done in range(wanted):
                if total[done] < np.inf:
                    for k in range(1, min(longest, wanted - done) + 1):
                        grown[done + k] = min(grown[done + k], total[done] + piece[k] + into + d.fixed[t])
            for done in range(wanted + 1):
                total[done] = grown[done]
    outside = 0.0
    for block in range(m):
        if block < first or block >= last:
            least = np.inf
            for t in range(n):
                if d.low[t, block + 1] <= block:
                    least = min(least, d.stage[t, block + 1] - d.stage[t, block])
            outside += least
    return total[wanted] + back + outside
