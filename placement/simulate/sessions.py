"""Mean response time by event simulation: Poisson arrivals, exponential sizes, join the fastest free chain (JFFC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.sessions.chains import Chain, Fleet, FloatArray, chain_seconds

from .kernels.sessions import join_fastest_free

SESSIONS = 20_000


@dataclass(frozen=True, slots=True)
class Responses:
    """Response times in s: mean, 95th percentile, and the part of the sessions that had to wait."""

    mean_s: float
    p95_s: float
    waited: float


def traffic(arrivals_per_s: float, seed: int, sessions: int = SESSIONS) -> tuple[FloatArray, FloatArray]:
    """Arrival times in s and sizes with mean 1; equal for equal seeds, so that plans meet the same sessions."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.exponential(1.0 / arrivals_per_s, sessions)), rng.exponential(1.0, sessions)


def responses(
    seconds: Sequence[float], capacities: Sequence[int], arrivals: FloatArray, sizes: FloatArray
) -> FloatArray:
    """Response time in s of each session on chains in any order."""
    order = np.argsort(np.asarray(seconds), kind="stable")
    slow, most = np.asarray(seconds, dtype=float)[order], np.asarray(capacities, dtype=np.int64)[order]
    slots = int(most.sum())
    out = np.zeros(len(arrivals))
    join_fastest_free(
        arrivals,
        sizes,
        slow,
        most,
        np.zeros(slots),
        np.zeros(slots, dtype=np.int64),
        np.zeros(len(most), dtype=np.int64),
        np.zeros(len(arrivals), dtype=np.int64),
        out,
    )
    return out


def simulate(fleet: Fleet, chains: Sequence[Chain], *, seed: int = 0, sessions: int = SESSIONS) -> Responses:
    """Simulate sessions on chains, from an empty system."""
    arrivals, sizes = traffic(fleet.arrivals_per_s, seed, sessions)
    seconds = [chain_seconds(fleet, chain) for chain in chains]
    times = responses(seconds, [chain.capacity for chain in chains], arrivals, sizes)
    bare = sizes * min(seconds)
    return Responses(float(times.mean()), float(np.percentile(times, 95)), float((times > bare * (1 + 1e-9)).mean()))
