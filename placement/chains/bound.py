"""Proven upper bound on the total service rate over all placements, by cutting planes on server prices.

A session on a chain k uses ``u_kj`` blocks of server j, which holds at least as many, so at most ``cap_j(u_kj)`` slots
are left there, and whatever the placement ``sum_k c_k u_kj / cap_j(u_kj) <= 1`` for every server (after
arXiv:2604.14993). The most of ``sum_k c_k / T_k`` under these rows, c fractional, over all ways to share L blocks, is a
bound. Its dual has a price y_j for each server; a way to share blocks that beats its price is a cut:

    1 / T(u) - sum_j y_j u_j / cap_j(u_j) > 0

1/T is convex, so it lies on its tangents (which find cuts) and below its chords (which prove that there is none over a
range of T); with either in its place, what remains is a sum over servers, minimised exactly by dynamic programming.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from objectives.chains import Fleet, FloatArray, IntArray

from .lp import Master

RANGES = 96  # ranges of T that chords cover
CHECK = 10  # rounds from one proof to the next


@dataclass(frozen=True, slots=True)
class RateBound:
    """Sessions/s that no placement exceeds, and after how many rounds of cuts."""

    rate: float
    rounds: int


class Sharing:
    """Ways to share the blocks of a model among servers, priced."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        width = int(fleet.most_blocks.max())
        sizes = np.arange(width + 1)
        slots = fleet.slots[:, : width + 1]
        self.able = (slots >= sizes) & (sizes > 0)
        self.part = np.where(self.able, sizes / np.maximum(slots, 1), 1.0)
        self.seconds = fleet.session_s[:, None] + fleet.block_s[:, None] * sizes
        self.best = np.empty(fleet.n_blocks + 1)
        self.choice = np.empty((fleet.n_servers, fleet.n_blocks + 1), dtype=np.int64)
        self.shortest = self.cheapest(1.0, np.zeros(fleet.n_servers))[0]
        self.longest = float(np.where(self.able, self.seconds, 0.0).max(axis=1).sum())

    def cheapest(self, per_second: float, prices: FloatArray) -> tuple[float, IntArray]:
        """Least ``per_second * T + sum_j prices_j u_j / cap_j`` over all ways to share, and each server's blocks."""
        from ..kernels.chain_price import share_blocks

        costs = per_second * self.seconds + prices[:, None] * self.part
        costs[~self.able] = np.inf
        costs[:, 0] = 0.0
        blocks = np.zeros(self.fleet.n_servers, dtype=np.int64)
        return float(share_blocks(costs, self.fleet.n_blocks, self.best, self.choice, blocks)), blocks

    def column(self, blocks: IntArray) -> tuple[float, FloatArray]:
        """Rate of one session in 1/s, and the part of every server that it takes."""
        used = np.arange(len(blocks))
        seconds = float(np.where(blocks > 0, self.seconds[used, blocks], 0.0).sum())
        return 1.0 / seconds, np.where(blocks > 0, self.part[used, blocks], 0.0)

    def violation(self, prices: FloatArray) -> tuple[float, list[IntArray]]:
        """Most by which any way to share may beat its price, in 1/s, zero or more, by chords over all of T.

        Also returns the way that came nearest in each range.
        """
        grid = np.geomspace(self.shortest, self.longest, RANGES + 1)
        grid[-1] *= 1.0 + 1e-9
        worst, ways = 0.0, []
        for low, high in pairwise(grid):
            least, blocks = self.cheapest(1.0 / (low * high), prices)
            worst = max(worst, 1.0 / low + 1.0 / high - least)
            ways.append(blocks)
        return worst, ways


def rate_bound(fleet: Fleet, *, rounds: int = 400, go_on: Callable[[], bool] = lambda: True) -> RateBound:
    """Bound the total rate; valid whenever it stops, tighter the longer it runs.

    Prices are damped from round to round, which spares most of the zigzag of cutting planes.

    Parameters
    ----------
    rounds : int
        Most rounds of cuts.
    go_on : callable
        Asked before each round.
    """
    sharing, master = Sharing(fleet), Master(np.ones(fleet.n_servers))
    sessions = float(fleet.slots[:, 1].clip(min=0).sum() // fleet.n_blocks)
    prices = np.zeros(fleet.n_servers)
    slack, ways = sharing.violation(prices)
    bound, done, damping = slack * sessions, 0, 0.0
    point = prices
    while done < rounds and go_on():
        done += 1
        added = sum(master.offer(*sharing.column(blocks), prices) for blocks in ways)
        if added:
            prices = master.solve()
        if not added and damping == 0.0:
            break
        damping = 0.7 if added else 0.0
        point = damping * point + (1.0 - damping) * prices
        if not added or done % CHECK == 0:
            slack, ways = sharing.violation(point)
            bound = min(bound, float(point.sum()) + slack * sessions)
            continue
        used = master.seconds_in_use()
        focus = np.unique(np.concatenate([used, np.geomspace(0.8 * used.min(), 1.3 * used.max(), 6)]))[:24]
        ways = [sharing.cheapest(1.0 / seconds**2, point)[1] for seconds in focus]
    slack, _ = sharing.violation(prices)
    return RateBound(float(min(bound, prices.sum() + slack * sessions)), done)
