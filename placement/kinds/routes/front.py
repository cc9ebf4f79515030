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
from objectives.routes.plain import PlainWays
from objectives.routes.swarm import FloatArray, Route, Shape, Swarm, route_of
from placement.errors import InfeasibleError, InputError

if TYPE_CHECKING:
    from .kernels.routes import RouteData

FIRST_LABELS, MOST_LABELS = 64, 8192


def route_data(swarm: Swarm, shape: Shape, third: str | None = None) -> RouteData:
    """Pack a swarm for the kernels."""
    from .kernels.routes import RouteData

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
    from .kernels.routes import shortest_route

    data = route_data(swarm, shape)
    via = np.zeros((swarm.n_blocks, swarm.n_servers), dtype=np.int64)
    way = np.zeros(swarm.n_blocks, dtype=np.int64)

    def search(least_rate: float) -> tuple[int, ...] | None:
        return tuple(way.tolist()) if np.isfinite(shortest_route(data, least_rate, via, way)) else None

    return search


def exact_front_3d(
    swarm: Swarm, shape: Shape = "star", third: str = "price", *, precision: float = 0.0
) -> tuple[Route, ...]:
    """Every trade of latency, throughput and a third cost ("price" or "reliability"), by latency.

    Thresholds on the rate fall, so chains that are known serve at least as fast as those that are still sought: a label
    is dropped when a known chain beats the least that it can still become.

    Parameters
    ----------
    precision : float
        0: exact. Otherwise for each chain of the exact front there is one here that is as fast in tokens/s and no more
        than this part above it in latency and in the third cost.
    """
    ensure_route(swarm)
    data = route_data(swarm, shape, third)
    found: list[Route] = []
    known = np.empty((0, 2))
    labels = FIRST_LABELS
    for least in np.unique(swarm.rates)[::-1]:
        seeds = [route_of(swarm, way, shape, third) for way in _supported(data, float(least))]
        if not seeds:
            continue
        known = _steps(known, seeds)
        ways, labels = _labels(swarm, data, float(least), known, 1.0 + precision, labels)
        new = [route_of(swarm, way, shape, third) for way in ways]
        known = _steps(known, new)
        found += seeds + new
    return _kept(found)


def _supported(data: RouteData, least: float) -> list[tuple[int, ...]]:
    """Shortest chains of weighted sums of latency and third cost, each once; none where no chain is so fast."""
    from .kernels.routes import BLOCK_S, PER_BLOCK, STEP, shortest_route

    blocks, n = data.holders.shape[0], len(data.nodes)
    via, way = np.zeros((blocks, n), dtype=np.int64), np.zeros(blocks, dtype=np.int64)
    seconds = data.nodes[:, BLOCK_S].sum() + data.enter[n].sum() / blocks
    scale = seconds / max(float(data.nodes[:, PER_BLOCK].sum() + data.nodes[:, STEP].sum() / blocks), 1e-300)
    ways: dict[tuple[int, ...], None] = {}
    for weight in (0.0, *(scale * 2.0**k for k in range(-6, 13))):
        nodes = data.nodes.copy()
        nodes[:, BLOCK_S] += weight * data.nodes[:, PER_BLOCK]
        mixed = data._replace(nodes=nodes, enter=data.enter + weight * data.nodes[None, :, STEP])
        if np.isfinite(shortest_route(mixed, least, via, way)):
            ways[tuple(way.tolist())] = None
    return list(ways)


def _steps(known: FloatArray, routes: list[Route]) -> FloatArray:
    """Latencies and third costs that none of them beats, by latency."""
    points = np.concatenate([known, np.array([(r.latency_s, r.third) for r in routes]).reshape(-1, 2)])
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    before = np.concatenate([[np.inf], np.minimum.accumulate(points[:, 1])[:-1]])
    return np.ascontiguousarray(points[points[:, 1] < before])


def _labels(
    swarm: Swarm, data: RouteData, least: float, known: FloatArray, slack: float, labels: int
) -> tuple[list[tuple[int, ...]], int]:
    from .kernels.routes import route_ahead, route_labels

    n, blocks = swarm.n_servers, swarm.n_blocks
    ahead = np.full((blocks, n, 2), np.inf)
    route_ahead(data, least, ahead)
    while labels <= MOST_LABELS:
        out, results = np.zeros((labels, blocks), dtype=np.int64), np.zeros((labels, 2))
        values, ways, counts = _room(n, blocks, labels)
        count = route_labels(data, least, ahead, known, slack, values, ways, counts, out, results)
        if count >= 0:
            return [tuple(row) for row in out[:count].tolist()], labels
        labels *= 2
    raise InputError(f"the front has more than {MOST_LABELS} chains at one rate; ask for a coarser precision than this")


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
    found = list({route.servers: route for route in found}.values())
    kept = front(values_of(tuple(found), thirds=True))
    return tuple(found[k] for k in kept)
