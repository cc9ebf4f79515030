"""Beam search over pipelines from the last block to the first, ranked by a bound on what completes them.

A label at (node, stop) is what follows a stage on that node which ends at `stop`: its cost and the nodes used. What
comes before is bounded by the cheapest walk to there (`objectives/pipeline/kernels/bounds.py`), its multipliers given
back. At each (node, stop) the `width` labels with the least bounds are kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.pipeline.kernels.stages import hop
from placement.search.kernels import kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Beams(NamedTuple):
    """Labels of each (node, stop): bound, cost and multipliers so far; used nodes in words of 62 bits; where from.

    The source of a label is ``node * (L + 1) + stop`` and its place there, -1 at the end. `state` holds the number of
    labels dropped. Each row of `ends` is a pipeline: its cost, infinite where there is none, and node, stop and place
    of its first stage.
    """

    values: FloatArray
    used: IntArray
    parent: IntArray
    held: IntArray
    state: IntArray
    ends: FloatArray


def beams(n_nodes: int, n_blocks: int, width: int, ends: int) -> Beams:
    """Empty labels, and room for so many pipelines."""
    shape = (n_nodes, n_blocks + 1)
    return Beams(
        np.empty((*shape, width, 3)),
        np.zeros((*shape, width, n_nodes // 62 + 1), dtype=np.int64),
        np.empty((*shape, width, 2), dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.full((ends, 4), np.inf),
    )


@kernel
def place_for(b, j, s, bound, cost, used):
    """Return where a label goes at (j, s): over one with the same nodes, or over the worst one; -1 for nowhere."""
    count, worst = b.held[j, s], 0
    for k in range(count):
        same = True
        for word in range(used.shape[0]):
            mine = used[word] | (np.int64(1) << np.int64(j % 62) if word == j // 62 else np.int64(0))
            same &= b.used[j, s, k, word] == mine
        if same:
            return k if cost < b.values[j, s, k, 1] else -1
        if b.values[j, s, k, 0] > b.values[j, s, worst, 0]:
            worst = k
    if count < b.values.shape[2]:
        b.held[j, s] += 1
        return count
    b.state[0] += 1
    return worst if bound < b.values[j, s, worst, 0] else -1


@kernel
def write_label(b, j, s, k, bound, cost, paid, used, source, place):
    """Write a label."""
    b.values[j, s, k, 0], b.values[j, s, k, 1], b.values[j, s, k, 2] = bound, cost, paid
    for word in range(used.shape[0]):
        b.used[j, s, k, word] = used[word]
    b.used[j, s, k, j // 62] |= np.int64(1) << np.int64(j % 62)
    b.parent[j, s, k, 0], b.parent[j, s, k, 1] = source, place


@kernel
def keep_end(b, total, node, stop, place):
    """Keep a pipeline over the worst one that is kept; return the cost that the next one must beat."""
    worst, highest = 0, -np.inf
    for e in range(b.ends.shape[0]):
        if b.ends[e, 0] > b.ends[worst, 0]:
            worst = e
    if total < b.ends[worst, 0]:
        b.ends[worst, 0], b.ends[worst, 1], b.ends[worst, 2], b.ends[worst, 3] = total, node, stop, place
    for e in range(b.ends.shape[0]):
        highest = max(highest, b.ends[e, 0])
    return highest


@kernel
def extend_beams(b, d, kind, twin, multipliers, before, begin, effort, cutoff):
    """Extend the labels at stops `begin`, `begin - 1`, ... until `effort` steps are spent; return (next stop, cutoff).

    `kind` is the type of each node, `twin` the node of its type that is taken before it (-1: none), `before` the table
    of the cheapest walks by type with the `multipliers` of the types in it.
    """
    n, m = d.fixed.shape[0], d.volume.shape[0] - 1
    given, spent, stop = 0.0, 0, begin
    none = np.zeros(b.used.shape[3], np.int64)
    for j in range(n):
        given += multipliers[kind[j]]
    if begin == m:
        for t in range(n):
            cost = hop(d, t, n, m)
            if cost < np.inf:
                b.held[t, m] = 1
                write_label(b, t, m, 0, 0.0, cost, multipliers[kind[t]], none, -1, 0)
    while stop > 0 and spent < effort:
        for t in range(n):
            for k in range(b.held[t, stop]):
                used, paid = b.used[t, stop, k], b.values[t, stop, k, 2]
                for s in range(d.low[t, stop], d.high[t, stop] + 1):
                    cost = b.values[t, stop, k, 1] + d.stage[t, stop] - d.stage[t, s] + d.fixed[t]
                    if s == 0:
                        total = cost + hop(d, n, t, s)
                        if total < cutoff:
                            cutoff = keep_end(b, total, t, stop, k)
                        continue
                    if not d.cut_allowed[s]:
                        continue
                    spent += n
                    for j in range(n):
                        if (used[j // 62] >> np.int64(j % 62)) & 1:
                            continue
                        if twin[j] >= 0 and not (used[twin[j] // 62] >> np.int64(twin[j] % 62)) & 1:
                            continue
                        total = cost + hop(d, j, t, s)
                        bound = total + paid + before[kind[j], s] - given
                        if bound < cutoff:
                            place = place_for(b, j, s, bound, total, used)
                            if place < 0:
                                continue
                            origin = t * (m + 1) + stop
                            spare = paid + multipliers[kind[j]]
                            write_label(b, j, s, place, bound, total, spare, used, origin, k)
        stop -= 1
    return stop, cutoff
