"""Exact searches for chains through a swarm: one cost or two that add up, above a least rate.

One cost: shortest paths. Two: label setting (E. Q. V. Martins, "On a multicriteria shortest path problem", EJOR 16(2),
1984, doi:10.1016/0377-2217(84)90077-8). The throughput of a chain is that of its slowest server, so a trade against
throughput is a row of such searches, one for each rate that a server has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from objectives.routes.swarm import FloatArray, IntArray, Route, Shape, Swarm, route_of
from objectives.routes.terms import ADDED, ROUTES, added_value, route_values
from placement.search.solver import NotApplicableError

from .kernels.routes import BLOCK_S, LEAVE, PER_BLOCK, STEP, RouteData, route_ahead, route_labels, shortest_route

FIRST_LABELS, MOST_LABELS = 64, 8192
MOST_ROOM = 2**33  # bytes of labels: what is touched of them is far less
Way = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Costs:
    """What is added up along a chain.

    Attributes
    ----------
    first : mapping of str to float
        Terms (latency, price, or reliability as -ln of survival) and their weights.
    second : str
        Price or reliability, traded against the first cost; empty for one cost alone.
    """

    first: Mapping[str, float] = field(default_factory=lambda: {"latency": 1.0})
    second: str = ""

    def of(self, route: Route) -> tuple[float, float]:
        """Both costs of a chain; the second is 0 where there is one only."""
        first = sum(weight * added_value(route, name) for name, weight in self.first.items())
        return first, added_value(route, self.second) if self.second else 0.0


class ChainSearch:
    """Searches over one swarm. Whoever searches has one of its own: it keeps room between calls.

    Parameters
    ----------
    swarm : Swarm
    shape : str
        "star" or "chain".
    data : RouteData
        The swarm's, of that shape.
    costs : Costs
    """

    def __init__(self, swarm: Swarm, shape: Shape, data: RouteData, costs: Costs) -> None:
        self.swarm, self.shape, self.costs = swarm, shape, costs
        self.data = arranged(data, costs)
        blocks, n = swarm.n_blocks, swarm.n_servers
        self.via: IntArray = np.zeros((blocks, n), dtype=np.int64)
        self.way: IntArray = np.zeros(blocks, dtype=np.int64)
        self.labels, self.room = FIRST_LABELS, _Room(n, blocks, 0)

    def cheapest(self, least: float) -> Route | None:
        """The chain of the least first cost among those that serve `least` tokens/s; None where there is none."""
        way = self._shortest(self.data, least)
        return None if way is None else route_of(self.swarm, way, self.shape)

    def rising(self, least: float) -> Iterator[Route]:
        """The cheapest chains for every least rate from `least` tokens/s on, each once, the slowest first."""
        while (route := self.cheapest(least)) is not None:
            yield route
            # Thresholds up to this chain's own rate would only find it again.
            least = float(np.nextafter(route.rate, np.inf))

    def falling(self, rates: FloatArray, slack: float) -> Iterator[list[Route]]:
        """Chains that no other one beats in both costs at each least rate, the highest rate first.

        Chains that are known then serve at least as fast as those that are still sought: a label is dropped when a
        known chain beats the least that it can still become.

        Parameters
        ----------
        rates : array (R,)
            Least rates in tokens/s, falling.
        slack : float
            1: exact. 1.02: a chain is left out when a known one is as fast and within 2% of it in both costs.
        """
        known = np.empty((0, 2))
        for least in rates.tolist():
            seeds = [route_of(self.swarm, way, self.shape) for way in self._supported(least)]
            if not seeds:
                continue
            known = self._lowest(known, seeds)
            new = [route_of(self.swarm, way, self.shape) for way in self._labels(least, known, slack)]
            known = self._lowest(known, new)
            yield seeds + new

    def _shortest(self, data: RouteData, least: float) -> Way | None:
        found = np.isfinite(shortest_route(data, least, self.via, self.way))
        return tuple(self.way.tolist()) if found else None

    def _supported(self, least: float) -> list[Way]:
        """Shortest chains of weighted sums of both costs, each once; none where no chain is so fast."""
        data = self.data
        blocks, n = data.holders.shape[0], len(data.nodes)
        first = data.nodes[:, BLOCK_S].sum() + data.enter[n].sum() / blocks
        scale = first / max(float(data.nodes[:, PER_BLOCK].sum() + data.nodes[:, STEP].sum() / blocks), 1e-300)
        ways: dict[Way, None] = {}
        for weight in (0.0, *(scale * 2.0**k for k in range(-6, 13))):
            nodes = data.nodes.copy()
            nodes[:, BLOCK_S] += weight * data.nodes[:, PER_BLOCK]
            mixed = data._replace(nodes=nodes, enter=data.enter + weight * data.nodes[None, :, STEP])
            if (way := self._shortest(mixed, least)) is not None:
                ways[way] = None
        return list(ways)

    def _lowest(self, known: FloatArray, routes: list[Route]) -> FloatArray:
        """Pairs of costs that none of the others beats, by the first one."""
        points = np.concatenate([known, np.array([self.costs.of(route) for route in routes]).reshape(-1, 2)])
        points = points[np.lexsort((points[:, 1], points[:, 0]))]
        before = np.concatenate([[np.inf], np.minimum.accumulate(points[:, 1])[:-1]])
        return np.ascontiguousarray(points[points[:, 1] < before])

    def _labels(self, least: float, known: FloatArray, slack: float) -> list[Way]:
        n, blocks = self.swarm.n_servers, self.swarm.n_blocks
        ahead = np.full((blocks, n, 2), np.inf)
        route_ahead(self.data, least, ahead)
        while self.labels <= MOST_LABELS and _Room.size(n, blocks, self.labels) <= MOST_ROOM:
            if self.room.labels != self.labels:
                self.room = _Room(n, blocks, self.labels)
            room, out = self.room, np.zeros((self.labels, blocks), dtype=np.int64)
            results = np.zeros((self.labels, 2))
            count = route_labels(
                self.data, least, ahead, known, slack, room.values, room.ways, room.counts, out, results
            )
            if count >= 0:
                return [tuple(row) for row in out[:count].tolist()]
            self.labels *= 2
        raise NotApplicableError(
            f"the front has more than {self.labels // 2} chains at one rate; ask for a coarser precision"
        )


class _Room:
    """Where labels lie: values of the last two blocks, whence each label came, and how many there are."""

    def __init__(self, n: int, blocks: int, labels: int) -> None:
        self.labels = labels
        self.values = np.zeros((2, n + 1, labels, 2))
        self.ways: IntArray = np.zeros((blocks + 1, n + 1, labels, 2), dtype=np.int64)
        self.counts: IntArray = np.zeros((blocks + 1, n + 1), dtype=np.int64)

    @staticmethod
    def size(n: int, blocks: int, labels: int) -> int:
        """Bytes of the largest of them."""
        return 16 * (blocks + 1) * (n + 1) * labels


def arranged(data: RouteData, costs: Costs) -> RouteData:
    """The data of a problem with the two costs of a search in the places that the kernels read."""
    seconds, price, loss = (costs.first.get(name, 0.0) for name in ("latency", "price", "reliability"))
    nodes = data.nodes.copy()
    enter = loss * data.nodes[None, :, STEP] + np.zeros_like(data.enter)
    nodes[:, BLOCK_S], nodes[:, LEAVE] = price * data.nodes[:, PER_BLOCK], 0.0
    if seconds:
        nodes[:, BLOCK_S] += seconds * data.nodes[:, BLOCK_S]
        nodes[:, LEAVE] = seconds * data.nodes[:, LEAVE]
        enter += seconds * data.enter
    if costs.second != "reliability":
        nodes[:, STEP] = 0.0
    if costs.second != "price":
        nodes[:, PER_BLOCK] = 0.0
    return data._replace(nodes=nodes, enter=enter)


def least_values(swarm: Swarm, shape: Shape, data: RouteData, least: float = 0.0) -> dict[str, float]:
    """The best possible minimised value of each term alone, of chains of servers with at least `least` tokens/s.

    Empty where no chain is so fast. Throughput counts as seconds per token, reliability as the probability that some
    server leaves. Parameters as for `ChainSearch`.
    """
    fastest = [swarm.rates[(swarm.starts <= b) & (b < swarm.stops)].max() for b in range(swarm.n_blocks)]
    found = {"throughput": 1.0 / float(min(fastest))}
    for name in ADDED:
        route = ChainSearch(swarm, shape, data, Costs({name: 1.0})).cheapest(least)
        if route is None:
            return {}
        found[name] = float(route_values(route)[ROUTES.names.index(name)])
    return found
