"""A covering bound that knows regions: who uses a region must come in from outside it, and go out again.

Walks may circle within a region of fast links and never pay for a slow one; here every region that holds blocks pays
for one entry. Nodes of a region take the cheapest runs that fit them, wherever these lie, and their cheapest hop; one
of them the cheapest from outside. Regions are single-linkage clusters of the hop costs, cut where these jump most; any
partition gives a valid bound.

Entries alone miss lines that are fast in and slow out. A pipeline is a closed tour from the client and back, so a
potential per region may be taken off the hops out of it and put on the hops into it without changing any tour:

    c'(i, j) = c(i, j) - exit(region of i) + exit(region of j),   exit(r) = cheapest hop out of region r

with which an entry pays for the exit, too. Reduced costs of hops between nodes stay at least 0. The client comes in
once: one entry may be from there. The potentials are the duals of an assignment relaxation of tours (E. Balas,
P. Toth, in "The Traveling Salesman Problem", Wiley, 1985).
"""

from __future__ import annotations

import numpy as np

from ..regions import regions
from .additive import FloatArray, IntArray
from .kernels.stages import StageData

STEP = 2.0  # times by which the lengths that join regions are longer than those within, at least
MOST_WORK = 2e7  # nodes times blocks squared: some tenths of a second


def region_bound(d: StageData, counts: IntArray) -> float:
    """Return the bound for contiguous pipelines over types of nodes; minus infinity where it would be slow or useless.

    Parameters
    ----------
    d : StageData
        Stages and hops between types, the client last.
    counts : int array (T,)
        Nodes of each type.
    """
    n, m = d.fixed.shape[0], d.volume.shape[0] - 1
    if n < 2 or float(counts.sum()) * m**2 > MOST_WORK:
        return -np.inf
    hops = _cheapest_hops(d)
    region = regions(hops + hops.T, STEP)
    if region.max() == 0:
        return -np.inf
    # First and last block are often unlike the rest: without them, no run of the others looks cheaper than it is.
    ranges = ((0, m), (1, m - 1)) if m > 2 else ((0, m),)
    pieces = [(_pieces(d, first, last), _outside(d, first, last)) for first, last in ranges]
    outside = region[:, None] != region[None, :]
    leaving = np.where(outside, hops, np.inf).min(axis=1)
    exits = np.array([leaving[region == r].min() for r in range(int(region.max()) + 1)])
    if not np.isfinite(exits).all():
        return -np.inf
    ends = _client_hops(d)
    tours = (
        _tour(d, counts, hops, outside, region, share * exits, ends, item) for share in (0.0, 1.0) for item in pieces
    )
    return max(tours)


def _cheapest_hops(d: StageData) -> FloatArray:
    """Least cost of a hop between types (T, T) over all inner cuts."""
    n, m = d.fixed.shape[0], d.volume.shape[0] - 1
    inner = np.flatnonzero(d.cut_allowed[1:m]) + 1
    if not len(inner):
        return np.full((n, n), np.inf)
    possible = d.cut_bytes[inner].min() <= d.most_bytes[:n, :n]
    hops: FloatArray = np.where(possible, d.latency[:n, :n] + d.volume[inner].min() * d.per_byte[:n, :n], np.inf)
    return hops


def _client_hops(d: StageData) -> tuple[FloatArray, FloatArray]:
    """Cost of the hop from the client to each type, and from each type to the client (T,)."""
    n = d.fixed.shape[0]
    into = np.where(d.cut_bytes[0] <= d.most_bytes[n, :n], d.latency[n, :n] + d.volume[0] * d.per_byte[n, :n], np.inf)
    back = np.where(d.cut_bytes[-1] <= d.most_bytes[:n, n], d.latency[:n, n] + d.volume[-1] * d.per_byte[:n, n], np.inf)
    return into, back


def _pieces(d: StageData, first: int, last: int) -> FloatArray:
    """Least cost of k of the blocks first .. last - 1 in a row on each type (T, last - first + 1)."""
    n, wanted = d.fixed.shape[0], last - first
    pieces = np.full((n, wanted + 1), np.inf)
    for k in range(1, wanted + 1):
        starts = np.arange(first, last - k + 1)
        fits = d.low[:, starts + k] <= starts
        pieces[:, k] = np.where(fits, d.stage[:, starts + k] - d.stage[:, starts], np.inf).min(axis=1)
    return pieces


def _outside(d: StageData, first: int, last: int) -> float:
    """Least cost of the blocks before `first` and from `last` on."""
    m = d.volume.shape[0] - 1
    total = 0.0
    for block in (*range(first), *range(last, m)):
        total += float(np.where(d.low[:, block + 1] <= block, d.stage[:, block + 1] - d.stage[:, block], np.inf).min())
    return total


def _tour(
    d: StageData,
    counts: IntArray,
    hops: FloatArray,
    outside: np.ndarray,
    region: IntArray,
    exits: FloatArray,
    ends: tuple[FloatArray, FloatArray],
    item: tuple[FloatArray, float],
) -> float:
    """Bound with one choice of potentials and of the range of blocks."""
    pieces, rest = item
    paid = exits[region]
    reduced = hops + np.where(outside, paid[None, :] - paid[:, None], 0.0)
    inside = reduced.min(axis=0)
    entering = np.where(outside, reduced, np.inf).min(axis=0)
    from_client, back = ends
    # One node is entered from the client, and one hop leads back to it.
    saved = entering - (from_client + paid)
    saved = float(saved[np.isfinite(from_client)].max(initial=0.0))
    if not np.isfinite(saved):
        return -np.inf
    home = float((back - paid).min())
    total = np.full(pieces.shape[1], np.inf)
    total[0] = 0.0
    for r in range(int(region.max()) + 1):
        total = _joined(total, _region(np.flatnonzero(region == r), d, counts, pieces, inside, entering))
    return float(total[-1]) - saved + home + rest


def _region(
    types: IntArray, d: StageData, counts: IntArray, pieces: FloatArray, inside: FloatArray, entering: FloatArray
) -> FloatArray:
    """Least cost of holding k blocks in a region (L + 1,), one of its nodes entered from outside."""
    unpaid = np.full(pieces.shape[1], np.inf)
    unpaid[0] = 0.0
    paid = np.full(pieces.shape[1], np.inf)
    for t in types:
        for _ in range(int(counts[t])):
            held = pieces[t] + d.fixed[t]
            cheap, dear = held + inside[t], held + entering[t]
            paid = np.minimum(np.minimum(paid, _joined(paid, cheap)), _joined(unpaid, dear))
            unpaid = np.minimum(unpaid, _joined(unpaid, cheap))
    paid[0] = 0.0
    return paid


def _joined(one: FloatArray, other: FloatArray) -> FloatArray:
    """Least sums by total length: min over j of one[j] + other[k - j]."""
    size = len(one)
    places = np.arange(size)[:, None] - np.arange(size)[None, :]
    sums = one[None, :] + np.where(places >= 0, other[np.maximum(places, 0)], np.inf)
    joined: FloatArray = sums.min(axis=1)
    return joined
