"""Spans of a whole swarm for the most bottleneck throughput, from Petals' own layout on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.petals.rules import by_first_block, joined, settle, throughputs
from objectives.spans import Range

from .world import FloatArray

ROUND = 20_000


@dataclass(frozen=True, slots=True)
class Balance:
    """Spans and the least throughput of a block, in blocks/s of its holders."""

    spans: tuple[Range, ...]
    bottleneck: float


def bottleneck(spans: Sequence[Range], speeds: FloatArray, n_blocks: int) -> float:
    """Least throughput of a block: the sum over its holders, each its blocks per second over its span."""
    rates = [speed / (stop - start) for (start, stop), speed in zip(spans, speeds, strict=True)]
    return float(throughputs(spans, rates, n_blocks).min())


def petals_balance(sizes: Sequence[int], speeds: FloatArray, n_blocks: int, rng: np.random.Generator) -> Balance:
    """Petals: servers join one by one, then all choose again in random order until nobody moves."""
    rate = speeds / np.array(sizes)
    spans = list(joined(sizes, rate.tolist(), n_blocks))
    settle(spans, throughputs(spans, rate.tolist(), n_blocks), rate.tolist(), rng.shuffle, by_first_block(spans))
    return Balance(tuple(spans), bottleneck(spans, speeds, n_blocks))


def balanced(
    sizes: Sequence[int],
    speeds: FloatArray,
    n_blocks: int,
    *,
    shrink: bool,
    start: Balance,
    rounds: int = 20,
    seed: int = 0,
) -> Balance:
    """Anneal spans from a layout; never worse than it.

    Parameters
    ----------
    shrink : bool
        Spans may be shorter than `sizes`.
    rounds : int
        Walks of 20,000 moves.
    """
    from placement.search.kernels.loops import anneal

    from .balance_kernel import BalanceData

    most = np.array(sizes, dtype=np.int64)
    least = np.ones_like(most) if shrink else most
    data = BalanceData(np.asarray(speeds, dtype=float), most, least, np.zeros(n_blocks))
    first = np.array([a for a, _ in start.spans] + [b - a for a, b in start.spans], dtype=np.int64)
    best, rng, found = first.copy(), np.random.default_rng(seed), start
    for k in range(rounds):
        hot = 0.2 if k % 2 == 0 else 0.02
        anneal(best.copy(), best, data, rng, ROUND, hot, 1e-4, 3.0)
        n = len(sizes)
        spans = tuple((int(a), int(a + size)) for a, size in zip(best[:n], best[n:], strict=True))
        value = bottleneck(spans, speeds, n_blocks)
        if value > found.bottleneck:
            found = Balance(spans, value)
    return found
