"""Dynamic programming over (nodes used of each type, type of the last node, blocks done): exact for additive costs.

    best[row, l] = cheapest pipeline of blocks 0 .. l-1, row = (nodes used of each type, type of the last one)
                 = min over starts s of  entry[s] + stage(type, s, l)
    entry[s]     = min over rows of the same nodes less that one of  best[row', s] + hop(type', type, s)

After M. Held and R. M. Karp, "A dynamic programming approach to sequencing problems", J. SIAM 10(1), 1962,
doi:10.1137/0110015, with blocks done as a further coordinate. Parents are found again on the way back, not stored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.pipeline.kernels.stages import add_hops, hop, slide
from placement.search.kernels import kernel

IntArray = npt.NDArray[np.int64]


class RowData(NamedTuple):
    """The rows of the table: ``first[c] <= row < first[c + 1]`` are those of the multiset of nodes c; 0 is empty."""

    first: IntArray
    type_of: IntArray
    before: IntArray


@kernel
def entry_costs(best, rows, d, row, entry):
    """Fill ``entry[s]``: the cheapest way to reach cut s and hop on to the type of `row`."""
    t, c = rows.type_of[row], rows.before[row]
    entry[:] = np.inf
    if c == 0:
        entry[0] = hop(d, d.fixed.shape[0], t, 0)
        return
    for other in range(rows.first[c], rows.first[c + 1]):
        add_hops(d, best[other], rows.type_of[other], t, entry)


@kernel
def fill_rows(best, rows, d, begin, end):
    """Fill ``best[begin:end]``; earlier rows are filled already."""
    m = best.shape[1] - 1
    entry, value = np.empty(m + 1), np.empty(m + 1)
    queue = np.empty(m + 1, np.int64)
    for row in range(begin, end):
        entry_costs(best, rows, d, row, entry)
        slide(d, rows.type_of[row], entry, queue, value, best[row])


@kernel
def cheapest_row(best, rows, d, complete):
    """Return the (cost, row) of the cheapest finished pipeline among rows whose nodes are `complete`."""
    m = best.shape[1] - 1
    n_types = d.fixed.shape[0]
    cheapest, chosen = np.inf, -1
    for row in range(best.shape[0]):
        if complete[row] and best[row, m] < cheapest:
            total = best[row, m] + hop(d, rows.type_of[row], n_types, m)
            if total < cheapest:
                cheapest, chosen = total, row
    return cheapest, chosen


@kernel
def walk_back(best, rows, d, row, types, stops):
    """Write the stages of a finished pipeline, last first, as types and stops; return how many."""
    m = best.shape[1] - 1
    stop, count = m, 0
    entry = np.empty(m + 1)
    while stop > 0:
        t, c = rows.type_of[row], rows.before[row]
        types[count], stops[count] = t, stop
        count += 1
        entry_costs(best, rows, d, row, entry)
        least, start = np.inf, -1
        for s in range(d.low[t, stop], d.high[t, stop] + 1):
            if s == 0 or d.cut_allowed[s]:
                total = entry[s] - d.stage[t, s]
                if total < least:
                    least, start = total, s
        if start < 0:
            return -1
        if start > 0:
            least = np.inf
            for other in range(rows.first[c], rows.first[c + 1]):
                total = best[other, start] + hop(d, rows.type_of[other], t, start)
                if total < least:
                    least, row = total, other
        stop = start
    return count
