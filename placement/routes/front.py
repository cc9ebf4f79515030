"""Exact Pareto fronts of chains through a swarm.

Latency and throughput: the throughput of a chain is that of its slowest server, so for each distinct rate as a
threshold the slower servers are dropped and the shortest path is taken. Three objectives: at each threshold a
label-setting search over latency and the third cost (E. Q. V. Martins, "On a multicriteria shortest path problem", EJOR
16(2), 1984, doi:10.1016/0377-2217(84)90077-8).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from objectives.pareto import front

from ..errors import InfeasibleError
from .plain import PlainWays
from .swarm import Route, Shape, Swarm, route_of

if TYPE_CHECKING:
    from ..kernels.routes import RouteData

FIRST_LABELS, MOST_LABELS = 64, 8192


def route_data(swarm: Swarm, shape: Shape, third: str | None = None) -> RouteData:
    """Pack a swarm for the kernels."""
    from ..kernels.routes import RouteData

    n = swarm.n_servers
    step, per_block = swarm.third(third) if third else (np.zeros(n), np.zeros(n))
    holders = np.zeros((swarm.n_blocks, n + 1), dtype=np.int64)
    for b in range(swarm.n_blocks):
        there = np.flatnonzero((swarm.starts <= b) & (b < swarm.stops))
        holders[b, 0] = len(there)
        holders[b, 1 : 1 + len(there)] = there
    nodes = np.stack([swarm.block_s, swarm.rates, swarm.leave_s(shape), step, per_block], axis=1)
    spans = np.stack([swarm.starts, swarm.stops], axis=1).astype(np.int64)
    return RouteData(
        spans, np.ascontiguousarray(nodes, dtype=float), np.ascontiguousarray(swarm.enter_s(shape)), holders,
        np.full((2, n), np.inf),
    )  # fmt: skip


def ensure_route(swarm: Swarm) -> None:
    """Raise when a block is held by nobody."""
    if swarm.missing is not None:
        raise InfeasibleError([f"block {swarm.missing} is held by nobody"])


def exact_front(swarm: Swarm, shape: Shape = "star", *, plain: PlainWays | None = None) -> tuple[Route, ...]:
    """Every trade of latency against throughput, the fastest chain first, one chain for each.

    Parameters
    ----------
    plain : PlainWays, optional
        Search with it instead of the compiled kernel; its load is in the chains, not in the values of the routes.
    """
    ensure_route(swarm)
    search = plain.shortest if plain is not None else _compiled(swarm, shape)
    found: list[Route] = []
    least = 0.0
    while (way := search(least_rate=least)) is not None:
        route = route_of(swarm, way, shape)
        found.append(route)
        # Thresholds up to this chain's own rate would only find it again.
        least = float(np.nextafter(route.rate, np.inf))
    return _kept(found)


def _compiled(swarm: Swarm, shape: Shape) -> Callable[..., tuple[int, ...] | None]:
    from ..kernels.routes import shortest_route

    data = route_data(swarm, shape)
    via = np.zeros((swarm.n_blocks, swarm.n_servers), dtype=np.int64)
    way = np.zeros(swarm.n_blocks, dtype=np.int64)

    def search(least_rate: float) -> tuple[int, ...] | None:
        return tuple(way.tolist()) if np.isfinite(shortest_route(data, least_rate, via, way)) else None

    return search


def exact_front_3d(swarm: Swarm, shape: Shape = "star", third: str = "price") -> tuple[Route, ...]:
    """Every trade of latency, throughput and a third cost ("price" or "reliability"), by latency."""
    ensure_route(swarm)
    data = route_data(swarm, shape, third)
    found: list[Route] = []
    labels = FIRST_LABELS
    for least in np.unique(swarm.rates):
        ways, labels = _labels(swarm, data, float(least), labels)
        if not ways:
            break
        found += [route_of(swarm, way, shape, third) for way in ways]
    return _kept(found)


def _labels(swarm: Swarm, data: RouteData, least: float, labels: int) -> tuple[list[tuple[int, ...]], int]:
    from ..kernels.routes import route_labels

    n, blocks = swarm.n_servers, swarm.n_blocks
    while labels <= MOST_LABELS:
        out, results = np.zeros((labels, blocks), dtype=np.int64), np.zeros((labels, 2))
        values, ways, counts = _room(n, blocks, labels)
        count = route_labels(data, least, values, ways, counts, out, results)
        if count >= 0:
            return [tuple(row) for row in out[:count].tolist()], labels
        labels *= 2
    raise InfeasibleError([f"the front has more than {MOST_LABELS} chains at one rate; ask for two objectives"])


@lru_cache(maxsize=1)
def _room(n: int, blocks: int, labels: int):  # type: ignore[no-untyped-def]
    return (
        np.zeros((2, n + 1, labels, 2)),
        np.zeros((blocks + 1, n + 1, labels, 2), dtype=np.int64),
        np.zeros((blocks + 1, n + 1), dtype=np.int64),
    )


def values_of(routes: tuple[Route, ...], *, thirds: bool = False) -> list[tuple[float, ...]]:
    """Minimised values: latency in s, seconds per token of the slowest server, and the third cost."""
    return [(r.latency_s, 1.0 / r.rate, r.third) if thirds else (r.latency_s, 1.0 / r.rate) for r in routes]


def _kept(found: list[Route]) -> tuple[Route, ...]:
    kept = front(values_of(tuple(found), thirds=True))
    return tuple(found[k] for k in kept)
