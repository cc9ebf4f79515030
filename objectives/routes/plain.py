"""Shortest chains in numpy alone: the plain twin of the compiled search, fast enough to answer a client at once."""

from __future__ import annotations

import numpy as np

from ..pareto import front
from .swarm import FloatArray, Route, Shape, Swarm, route_of

BoolArray = np.ndarray[tuple[int], np.dtype[np.bool_]]


class PlainWays:
    """Chains through a swarm.

    Parameters
    ----------
    extra_s : array (J,), optional
        Seconds to add on entering each server, for load.
    slow : array (J,), optional
        Factors on the seconds of blocks, for load.
    """

    def __init__(
        self, swarm: Swarm, shape: Shape, extra_s: FloatArray | None = None, slow: FloatArray | None = None
    ) -> None:
        self.swarm, self.shape, self.star = swarm, shape, shape == "star"
        enter = swarm.enter_s(shape)
        self.enter = enter if extra_s is None else enter + extra_s
        self.leave = swarm.leave_s(shape)
        self.block_s = swarm.block_s if slow is None else swarm.block_s * slow

    def shortest(
        self, start: int = 0, stop: int | None = None, *, least_rate: float = 0.0, allowed: BoolArray | None = None
    ) -> tuple[int, ...] | None:
        """Servers of the blocks `start` to `stop` - 1 on the fastest chain of servers with at least that rate."""
        swarm = self.swarm
        last, n = swarm.n_blocks if stop is None else stop, swarm.n_servers
        usable = swarm.rates >= least_rate
        if allowed is not None:
            usable = usable & allowed
        if self.star:
            return self._star(start, last, usable)
        before, there = np.full(n, np.inf), np.empty(0, dtype=np.int64)
        via: list[tuple[np.ndarray, np.ndarray]] = []
        for block in range(start, last):
            hold = np.flatnonzero(usable & (swarm.starts <= block) & (block < swarm.stops))
            if not len(hold):
                return None
            now, came = self._entered(block == start, before, there, hold)
            via.append((hold, came))
            before = np.full(n, np.inf)
            before[hold] = now + self.block_s[hold]
            there = hold
        ends = before[there] + self.leave[there]
        at = int(there[np.argmin(ends)])
        if not np.isfinite(ends.min()):
            return None
        way = []
        for hold, came in reversed(via):
            way.append(at)
            at = int(came[np.searchsorted(hold, at)])
        return tuple(way[::-1])

    def _star(self, start: int, last: int, usable: BoolArray) -> tuple[int, ...] | None:
        """As `shortest`; the way in is the same from everywhere: the best server of the block before counts."""
        swarm, blocks = self.swarm, np.arange(start, last)[:, None]
        holds = usable & (swarm.starts <= blocks) & (blocks < swarm.stops)
        block_s, enter = np.where(holds, self.block_s, np.inf), self.enter[swarm.n_servers, : swarm.n_servers]
        before, bests, changes = enter + block_s[0], [-1], [np.ones(swarm.n_servers, dtype=bool)]
        for row in block_s[1:]:
            best = int(before.argmin())
            moved = before[best] + enter
            bests.append(best)
            changes.append(moved < before)
            before = np.minimum(before, moved) + row
        ends = before + self.leave[: swarm.n_servers]
        at = int(ends.argmin())
        if not np.isfinite(ends[at]):
            return None
        way = []
        for best, change in zip(bests[::-1], changes[::-1], strict=True):
            way.append(at)
            at = best if change[at] else at
        return tuple(way[::-1])

    def seconds(self, ways: np.ndarray) -> FloatArray:
        """Seconds per token of chains (n, L), load included."""
        hop = ways[:, 1:] != ways[:, :-1]
        total: FloatArray = self.block_s[ways].sum(axis=1) + self.leave[ways[:, -1]]
        total += self.enter[self.swarm.n_servers, ways[:, 0]]
        total += (self.enter[ways[:, :-1], ways[:, 1:]] * hop).sum(axis=1)
        return total

    def front(self) -> tuple[Route, ...]:
        """Every trade of latency against throughput, the fastest chain first, one chain for each.

        The throughput of a chain is that of its slowest server: for each rate as a threshold the slower servers are
        dropped and the shortest chain is taken. Load decides which chains are found; the values of the routes are
        without it. Empty where a block is held by nobody.
        """
        found: dict[tuple[int, ...], Route] = {}
        least = 0.0
        while (way := self.shortest(least_rate=least)) is not None:
            found[way] = route_of(self.swarm, way, self.shape)
            # Thresholds up to this chain's own rate would only find it again.
            least = float(np.nextafter(found[way].rate, np.inf))
        routes = list(found.values())
        return tuple(routes[k] for k in front([(route.latency_s, 1.0 / route.rate) for route in routes]))

    def _entered(
        self, first: bool, before: FloatArray, there: np.ndarray, hold: np.ndarray
    ) -> tuple[FloatArray, np.ndarray]:
        """Seconds until each holder can begin its block, and the server of the block before."""
        n = self.swarm.n_servers
        if first:
            return self.enter[n, hold], np.full(len(hold), n)
        table = before[there][:, None] + self.enter[np.ix_(there, hold)]
        rows = table.argmin(axis=0)
        moved, came = table[rows, np.arange(len(hold))], there[rows]
        stays = before[hold] <= moved
        return np.where(stays, before[hold], moved), np.where(stays, hold, came)
