"""Proven bounds over all placements, by cutting planes on server prices: on the rate, and on the response time.

A session on a chain k uses ``u_kj`` blocks of server j, which holds at least as many, so at most ``cap_j(u_kj)`` slots
are left there, and whatever the placement ``sum_k c_k u_kj / cap_j(u_kj) <= 1`` for every server (after
arXiv:2604.14993). The most of ``sum_k c_k / T_k`` under these rows, c fractional, over all ways to share L blocks, is a
bound. Its dual has a price y_j for each server; a way to share blocks that beats its price is a cut:

    1 / T(u) - sum_j y_j u_j / cap_j(u_j) > 0

1/T is convex, so it lies below its chords: with one in its place, what remains is a sum over servers, minimised exactly
by dynamic programming, and what no way beats by more than a slack is a bound at once, converged or not.

With one more row, ``sum_k c_k <= n``, the same bounds how fast n sessions in the system can leave. A birth-death
process with those rates bounds the mean response time of every placement under any dispatch from below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from objectives.sessions.chains import Fleet, FloatArray, IntArray, birth_death
from placement.search.column_program import ColumnProgram

RANGES = 96  # ranges of T that chords cover
DAMPING = 0.5  # part of the last prices in the next ones, which spares most of the zigzag of cutting planes
CLOSE = 1e-3  # a bound this near to what the columns so far can reach is good enough
IN_FLIGHT = (0.5, 1.0, 1.3, 1.7, 2.2, 3.0, 4.0)  # sessions, in units of arrivals times the fastest chain's seconds


def for_ever() -> bool:
    """Go on."""
    return True


@dataclass(frozen=True, slots=True)
class Line:
    """``fixed + each * n``: at most so many sessions/s leave while n are in the system; and the rounds it took."""

    fixed: float
    each: float
    rounds: int = 0


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
        from .kernels.price import share_blocks

        costs = per_second * self.seconds + prices[:, None] * self.part
        costs[~self.able] = np.inf
        costs[:, 0] = 0.0
        blocks = np.zeros(self.fleet.n_servers, dtype=np.int64)
        return float(share_blocks(costs, self.fleet.n_blocks, self.best, self.choice, blocks)), blocks

    def column(self, blocks: IntArray) -> tuple[float, FloatArray]:
        """Rate of one session in 1/s, and the part of every row that it takes: of each server, and one session."""
        used = np.arange(len(blocks))
        seconds = float(np.where(blocks > 0, self.seconds[used, blocks], 0.0).sum())
        return 1.0 / seconds, np.append(np.where(blocks > 0, self.part[used, blocks], 0.0), 1.0)

    def violation(self, prices: FloatArray) -> tuple[float, list[IntArray]]:
        """Most by which any way to share may beat its price, in 1/s, by chords over all of T.

        Also returns the ways that came nearest in each range, each once.
        """
        grid = np.geomspace(self.shortest, max(self.longest, self.shortest * 1.001), RANGES + 1)
        grid[-1] *= 1.0 + 1e-9
        worst, ways = -np.inf, {}
        for low, high in pairwise(grid):
            least, blocks = self.cheapest(1.0 / (low * high), prices)
            worst = max(worst, 1.0 / low + 1.0 / high - least)
            ways[blocks.tobytes()] = blocks
        return worst, list(ways.values())


class Cuts:
    """Cutting planes; bounds for several numbers of sessions share their columns."""

    def __init__(self, fleet: Fleet) -> None:
        self.sharing = Sharing(fleet)
        self.most = float(fleet.slots[:, 1].clip(min=0).sum() // fleet.n_blocks)
        self.columns: list[tuple[float, FloatArray]] = []

    def line(self, sessions: float, rounds: int, go_on: Callable[[], bool]) -> Line:
        """Bound the rate of so many sessions at once, infinite for any number; valid whenever it stops."""
        n = self.sharing.fleet.n_servers
        master = ColumnProgram(np.append(np.ones(n), sessions))
        for rate, parts in self.columns:
            master.add(rate, parts)
        prices = master.solve() if self.columns else np.zeros(n + 1)
        count = min(sessions, self.most)
        point, best, done, damping = prices, Line(np.inf, 0.0), 0, 0.0
        while True:
            slack, ways = self.sharing.violation(point[:n])
            slack, fixed = max(0.0, slack - point[n]), float(point[:n].sum())
            each = float(point[n]) + slack
            found = Line(fixed, each, done) if np.isfinite(sessions) else Line(fixed + each * self.most, 0.0, done)
            if found.fixed + found.each * count < best.fixed + best.each * count:
                best = found
            reached = float(prices[:n].sum() + prices[n] * count)  # what the columns so far can do
            if best.fixed + best.each * count <= reached * (1.0 + CLOSE) or done >= rounds or not go_on():
                return best
            done += 1
            added = [column for column in map(self.sharing.column, ways) if master.offer(*column, prices)]
            if not added and damping == 0.0:
                return best
            self.columns += added
            prices = master.solve() if added else prices
            damping = DAMPING if added else 0.0
            point = damping * point + (1.0 - damping) * prices


def rate_bound(fleet: Fleet, *, rounds: int = 400, go_on: Callable[[], bool] = for_ever) -> RateBound:
    """Bound the total rate; valid whenever it stops, tighter the longer it runs.

    Parameters
    ----------
    rounds : int
        Most rounds of cuts.
    go_on : callable
        Asked after each round.
    """
    line = Cuts(fleet).line(np.inf, rounds, go_on)
    return RateBound(line.fixed, line.rounds)


def response_bound(fleet: Fleet, *, rounds: int = 60, go_on: Callable[[], bool] = for_ever) -> tuple[float, RateBound]:
    """Seconds that the mean response time of no placement goes below, infinite where none serves the arrivals.

    Also returns the bound on the rate that comes with it.
    """
    cuts = Cuts(fleet)
    whole = cuts.line(np.inf, rounds, go_on)
    bound = RateBound(whole.fixed, whole.rounds)
    if fleet.arrivals_per_s >= whole.fixed:
        return np.inf, bound
    shortest = cuts.sharing.shortest
    lines = [whole, Line(0.0, 1.0 / shortest)]
    for n in sorted({max(1, round(part * fleet.arrivals_per_s * shortest)) for part in IN_FLIGHT}):
        if not go_on():
            break
        lines.append(cuts.line(float(n), rounds, go_on))
    # Beyond this many sessions every line is above the bound on the rate.
    most = 1 + int(np.ceil(max((whole.fixed - line.fixed) / line.each for line in lines[1:])))
    sessions = np.arange(1, max(2, most) + 1)
    death: FloatArray = np.min([line.fixed + line.each * sessions for line in lines], axis=0)
    return birth_death(death, fleet.arrivals_per_s), bound
