"""Chains of servers with reserved caches: the reference scores, in plain Python.

A session holds a cache slot for each block that it uses on a server, for its whole life. A *composition* is a span for
every server, and chains of servers with whole-numbered capacities.

T. Sun et al., "Server chain composition", MobiHoc 2026, arXiv:2604.14993; "Optimizing resource allocation for
geographically distributed inference by large language models", 2025, arXiv:2512.21884.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, cmp_to_key

import numpy as np
import numpy.typing as npt

from ..spans import Range

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FASTER = 1.0 - 1e-12  # what a way must take of another's time to be faster: sums of equal times differ by rounding
MOST_LOAD = 0.998  # arrivals beyond this part of the rate count as too many: their queue is as good as endless


@dataclass(frozen=True, eq=False)
class Fleet:
    """J servers, a model of L equal blocks, and arriving sessions.

    Attributes
    ----------
    names : tuple of str
        Names of the servers.
    memory_bytes : int array (J,)
        Memory for weights and caches.
    session_s : array (J,)
        Seconds that a session spends for coming by at a server, however many blocks it uses there.
    block_s : array (J,)
        Seconds of a session for each block that it uses at a server.
    n_blocks : int
        L.
    block_bytes, cache_bytes : int
        Weights of one block; cache of one session for one block.
    arrivals_per_s : float
        Sessions that arrive per second.
    """

    names: tuple[str, ...]
    memory_bytes: IntArray
    session_s: FloatArray
    block_s: FloatArray
    n_blocks: int
    block_bytes: int
    cache_bytes: int
    arrivals_per_s: float

    @property
    def n_servers(self) -> int:
        """J."""
        return len(self.names)

    @cached_property
    def slots(self) -> IntArray:
        """Cache slots (J, L + 1) of a server that holds m blocks; -1 where the blocks do not fit."""
        left = self.memory_bytes[:, None] - self.block_bytes * np.arange(self.n_blocks + 1)[None, :]
        return np.where(left >= 0, left // self.cache_bytes, -1).astype(np.int64)

    @cached_property
    def most_blocks(self) -> IntArray:
        """Most blocks (J,) that leave room for the cache of one session; 0 for a server of no use."""
        return np.array([(row[1:] > 0).sum() for row in self.slots], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of servers; `stops[k]` is the block after the last one that `servers[k]` computes.

    Attributes
    ----------
    servers, stops : tuple of int
        In block order.
    capacity : int
        Sessions at once.
    """

    servers: tuple[int, ...]
    stops: tuple[int, ...]
    capacity: int

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks that a session uses at each server."""
        return tuple(stop - start for start, stop in zip((0, *self.stops), self.stops, strict=False))


@dataclass(frozen=True, slots=True)
class Composition:
    """A plan: the span of every server ((0, 0) holds nothing), and the chains, the fastest first."""

    spans: tuple[Range, ...]
    chains: tuple[Chain, ...] = field(default=())


def chain_seconds(fleet: Fleet, chain: Chain) -> float:
    """Mean seconds of a session on a chain."""
    parts = zip(chain.servers, chain.blocks, strict=True)
    return float(sum(fleet.session_s[j] + fleet.block_s[j] * blocks for j, blocks in parts))


def total_rate(fleet: Fleet, chains: Sequence[Chain]) -> float:
    """Sessions per second that all chains serve together when they are full."""
    return sum(chain.capacity / chain_seconds(fleet, chain) for chain in chains)


def broken_rules(fleet: Fleet, plan: Composition) -> list[str]:
    """Every rule of the model that a composition breaks, each as a line for people; empty means valid."""
    found: list[str] = []
    used = np.zeros(fleet.n_servers, dtype=np.int64)
    for k, chain in enumerate(plan.chains):
        if not chain.stops or chain.stops[-1] != fleet.n_blocks or chain.capacity < 1:
            found.append(f"chain {k} does not end at block {fleet.n_blocks} with a capacity of at least 1")
        start = 0
        for j, stop in zip(chain.servers, chain.stops, strict=True):
            first, last = plan.spans[j]
            if not first <= start < stop <= last:
                found.append(f"chain {k} uses blocks {start} to {stop - 1} that server {fleet.names[j]} does not hold")
            used[j] += (stop - start) * chain.capacity
            start = stop
    for j, (first, last) in enumerate(plan.spans):
        if not 0 <= first <= last <= fleet.n_blocks:
            found.append(f"server {fleet.names[j]} holds blocks {first} to {last - 1} of {fleet.n_blocks}")
            continue
        spent = fleet.block_bytes * (last - first) + fleet.cache_bytes * int(used[j])
        if spent > fleet.memory_bytes[j]:
            found.append(f"server {fleet.names[j]} needs {spent} bytes of {fleet.memory_bytes[j]}")
    return found


def chain_genome(spans: Sequence[Range]) -> IntArray:
    """Spans, one per server, as a row (2 J,): the first block of each server, then the number of blocks of each."""
    return np.array([a for a, _ in spans] + [b - a for a, b in spans], dtype=np.int64)


def free_slots(fleet: Fleet, spans: Sequence[Range], chains: Sequence[Chain] = ()) -> list[int]:
    """Cache slots of every server that the chains leave free."""
    free = [int(fleet.slots[j, stop - start]) for j, (start, stop) in enumerate(spans)]
    for chain in chains:
        for j, blocks in zip(chain.servers, chain.blocks, strict=True):
            free[j] -= chain.capacity * blocks
    return free


def greedy_chains(fleet: Fleet, spans: Sequence[Range], begun: Sequence[Chain] = ()) -> tuple[Chain, ...]:
    """Greedy chain allocation: again and again the fastest chain, as full as it goes (GCA, arXiv:2604.14993).

    `begun` are chains that keep their capacities.
    """
    free = free_slots(fleet, spans, begun)
    chains = list(begun)
    while True:
        found = fastest_chain(fleet, spans, free)
        if found is None:
            return merged(fleet, chains)
        capacity = min(free[j] // blocks for j, blocks in zip(found.servers, found.blocks, strict=True))
        for j, blocks in zip(found.servers, found.blocks, strict=True):
            free[j] -= capacity * blocks
        chains.append(Chain(found.servers, found.stops, capacity))


def merged(fleet: Fleet, chains: Sequence[Chain]) -> tuple[Chain, ...]:
    """Chains with equal ways made one, the fastest first; those that are equally fast stay in their order."""
    total: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    for chain in chains:
        way = (chain.servers, chain.stops)
        total[way] = total.get(way, 0) + chain.capacity
    ways = [Chain(*way, n) for way, n in total.items()]

    def compared(one: Chain, other: Chain) -> int:
        first, second = chain_seconds(fleet, one), chain_seconds(fleet, other)
        return int(second < first * FASTER) - int(first < second * FASTER)

    return tuple(sorted(ways, key=cmp_to_key(compared)))


def fastest_chain(fleet: Fleet, spans: Sequence[Range], free: Sequence[int]) -> Chain | None:
    """Return the fastest chain through servers with free slots, capacity 1; None when no chain is left.

    Of ways that are equally fast, as they are between servers of one type, the one through later servers and over more
    blocks before the last is taken: a rule that the kernels share, since the chains that are left depend on it.
    """
    ends = sorted((stop, -j) for j, (start, stop) in enumerate(spans) if stop > start)
    best: dict[int, tuple[float, int, int]] = {0: (0.0, -1, -1)}
    for stop, j in ((stop, -last) for stop, last in ends):
        for before, (seconds, _, _) in reversed(list(best.items())):
            blocks = stop - before
            if spans[j][0] <= before < stop and blocks <= free[j]:
                total = seconds + fleet.session_s[j] + fleet.block_s[j] * blocks
                if stop not in best or total < best[stop][0] * FASTER:
                    best[stop] = (float(total), j, before)
    if fleet.n_blocks not in best:
        return None
    servers, stops, at = [], [], fleet.n_blocks
    while at > 0:
        _, j, before = best[at]
        servers.append(j)
        stops.append(at)
        at = before
    return Chain(tuple(servers[::-1]), tuple(stops[::-1]), 1)


def response_bounds(seconds: Sequence[float], capacities: Sequence[int], arrivals_per_s: float) -> tuple[float, float]:
    """Lower and upper bound on the mean response time in s when sessions join the fastest free chain.

    Birth-death processes on the number of sessions in the system, whose death rate with n sessions is that of the n
    fastest slots (lower) or of the n slowest (upper). Infinite when the arrivals exceed the total rate.
    """
    order = np.argsort(seconds)
    rates = np.repeat(1.0 / np.asarray(seconds, dtype=float)[order], np.asarray(capacities)[order])
    fast, slow = np.cumsum(rates), np.cumsum(rates[::-1])
    return birth_death(fast, arrivals_per_s), birth_death(slow, arrivals_per_s)


def fastest_kept(
    seconds: Sequence[float], capacities: Sequence[int], arrivals_per_s: float, upper: float
) -> tuple[int, float]:
    """How many of the chains, the fastest first, are best kept, and the mix of both bounds in s that they have.

    A slow chain draws sessions that had better wait for a fast one. Fewer chains are tried while they carry the
    arrivals at `MOST_LOAD`; arrivals that all of them do not carry are cut to what they do.

    Parameters
    ----------
    seconds, capacities : sequence (K,)
        Service times in s, ascending, and sessions at once.
    upper : float
        Weight of the upper bound.
    """
    rates = np.cumsum(np.asarray(capacities) / np.asarray(seconds, dtype=float))
    arrivals = min(arrivals_per_s, MOST_LOAD * float(rates[-1]))
    mixes = {}
    for k in range(1, len(rates) + 1):
        if k == len(rates) or arrivals_per_s <= MOST_LOAD * rates[k - 1]:
            low, high = response_bounds(seconds[:k], capacities[:k], arrivals)
            mixes[k] = (1.0 - upper) * low + upper * high
    best = min(mixes, key=lambda k: (mixes[k], -k))
    return best, mixes[best]


def birth_death(death: FloatArray, arrivals_per_s: float) -> float:
    """Mean response time in s of a birth-death process with death rate `death[n - 1]` at n, the last one beyond C.

    Little's law on the mean number in the system; products of many factors, so everything is kept in logarithms. The
    tail beyond C is geometric with ratio rho: it adds ``p_C (rho / (1 - rho)^2 + C rho / (1 - rho))``.
    """
    if len(death) == 0 or arrivals_per_s >= death[-1]:
        return math.inf
    n = np.arange(1, len(death) + 1)
    logs = np.concatenate([[0.0], np.cumsum(math.log(arrivals_per_s) - np.log(death))])
    weights = np.exp(logs - logs.max())
    rho = arrivals_per_s / float(death[-1])
    last, count = float(weights[-1]), len(death)
    total = weights.sum() + last * rho / (1.0 - rho)
    mean = (n * weights[1:]).sum() + last * (rho / (1.0 - rho) ** 2 + count * rho / (1.0 - rho))
    return float(mean / total / arrivals_per_s)
