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

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from objectives.sessions.chains import Fleet, FloatArray, IntArray, birth_death
from placement.search.column_program import ColumnProgram

from .kernels.price import share_blocks

RANGES = 96  # ranges of T that chords cover
DAMPING = 0.5  # part of the last prices in the next ones, which spares most of the zigzag of cutting planes
CLOSE = 1e-3  # a bound this near to what the columns so far can reach is good enough
MOST_STATES = 100_000  # numbers of sessions in the system that are told apart
IN_FLIGHT = (0.5, 1.0, 1.3, 1.7, 2.2, 3.0, 4.0)  # sessions, in units of arrivals times the fastest chain's seconds


@dataclass(frozen=True, slots=True)
class Line:
    """``fixed + each * n``: at most so many sessions/s leave while n are in the system."""

    fixed: float
    each: float

    def at(self, sessions: float) -> float:
        """Sessions/s with so many in the system."""
        return self.fixed + self.each * sessions


@dataclass(frozen=True, slots=True)
class Proven:
    """Sessions/s that no placement exceeds, and seconds that the mean response time of none goes below."""

    rate: float
    response_s: float


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
        self.most = float(most_at_once(fleet))
        self.columns: list[tuple[float, FloatArray]] = []

    def line(self, sessions: float, rounds: int) -> Iterator[Line]:
        """Bounds on the rate of so many sessions at once, infinite for any number: one after each round of cuts.

        Each is valid, and none is worse than the one before; they end when more rounds would not tighten them.
        """
        n = self.sharing.fleet.n_servers
        master = ColumnProgram(np.append(np.ones(n), sessions))
        for rate, parts in self.columns:
            master.add(rate, parts)
        prices = master.solve() if self.columns else np.zeros(n + 1)
        count = min(sessions, self.most)
        point, best, damping = prices, Line(np.inf, 0.0), 0.0
        for _ in range(rounds + 1):
            slack, ways = self.sharing.violation(point[:n])
            slack, fixed = max(0.0, slack - point[n]), float(point[:n].sum())
            each = float(point[n]) + slack
            found = Line(fixed, each) if np.isfinite(sessions) else Line(fixed + each * self.most, 0.0)
            best = min(best, found, key=lambda line: line.at(count))
            yield best
            reached = float(prices[:n].sum() + prices[n] * count)  # what the columns so far can do
            if best.at(count) <= reached * (1.0 + CLOSE):
                return
            added = [column for column in map(self.sharing.column, ways) if master.offer(*column, prices)]
            if not added and damping == 0.0:
                return
            self.columns += added
            prices = master.solve() if added else prices
            damping = DAMPING if added else 0.0
            point = damping * point + (1.0 - damping) * prices


def most_at_once(fleet: Fleet) -> int:
    """Sessions that never have all their caches at once if they are more: every server with one block, no slot free."""
    return int(fleet.slots[:, 1].clip(min=0).sum() // fleet.n_blocks)


def rate_bounds(fleet: Fleet, rounds: int = 400) -> Iterator[Proven]:
    """Bounds on the total rate, each at least as tight as the one before, until more rounds are of no use.

    Parameters
    ----------
    fleet : Fleet
    rounds : int
        Most rounds of cuts; the first bound takes none.
    """
    cuts = Cuts(fleet)
    for line in cuts.line(np.inf, rounds):
        yield Proven(line.fixed, cuts.sharing.shortest)


def response_bounds(fleet: Fleet, rounds: int = 60) -> Iterator[Proven]:
    """Bounds on the mean response time, and those on the rate that come with them; each at least as tight as the last.

    The response time is infinite where it is proven that nothing serves the arrivals.

    Parameters
    ----------
    fleet : Fleet
    rounds : int
        Most rounds of cuts for each number of sessions.
    """
    cuts = Cuts(fleet)
    shortest, arrivals = cuts.sharing.shortest, fleet.arrivals_per_s
    found = Proven(np.inf, shortest)
    for whole in cuts.line(np.inf, rounds):
        found = Proven(whole.fixed, shortest if arrivals < whole.fixed else np.inf)
        yield found
    if not np.isfinite(found.response_s):
        return
    lines = [whole, Line(0.0, 1.0 / shortest)]
    for n in sorted({max(1, round(part * arrivals * shortest)) for part in IN_FLIGHT}):
        for line in cuts.line(float(n), rounds):
            response = max(found.response_s, least_response_s([*lines, line], arrivals))
            found = Proven(found.rate, response)
            yield found
        lines.append(line)


def least_response_s(lines: list[Line], arrivals_per_s: float) -> float:
    """Mean response time in s of a birth-death process whose n sessions leave as fast as all of the lines allow.

    The first of the lines is the bound on the rate, and holds for any number of sessions: it alone holds in the end.
    """
    whole, others = lines[0], [line for line in lines[1:] if line.fixed < lines[0].fixed]
    crossing = max((whole.fixed - line.fixed) / max(line.each, 1e-300) for line in others)
    sessions = np.arange(1, 2 + int(np.ceil(min(max(1.0, crossing), MOST_STATES))))
    death: FloatArray = np.min([line.fixed + line.each * sessions for line in lines], axis=0)
    death[-1] = whole.fixed
    return birth_death(death, arrivals_per_s)
