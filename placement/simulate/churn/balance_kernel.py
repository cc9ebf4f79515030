"""Spans of a swarm for the most bottleneck throughput: score and moves on (start, length) of every server."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.jit import copy
from placement.search.kernels import kernel
from placement.search.kernels.draws import below, step_size
from placement.search.kernels.encoding import provide


class BalanceData(NamedTuple):
    """What the kernels read.

    Attributes
    ----------
    speeds : array (J,)
        Blocks per second of a server.
    most, least : int array (J,)
        Longest and shortest span of a server.
    total : array (L,)
        Scratch.
    """

    speeds: npt.NDArray[np.float64]
    most: npt.NDArray[np.int64]
    least: npt.NDArray[np.int64]
    total: npt.NDArray[np.float64]


@kernel
def balance_cost(genome, d):  # type: ignore[no-untyped-def]
    """Return (cost, violation): one over the least throughput of a block, with a hint of the harmonic mean.

    The minimum alone is a plateau to a search; blocks that nobody holds are the violation.
    """
    n, blocks = d.speeds.shape[0], d.total.shape[0]
    for b in range(blocks):
        d.total[b] = 0.0
    for j in range(n):
        for b in range(genome[j], genome[j] + genome[n + j]):
            d.total[b] += d.speeds[j] / genome[n + j]
    least, inverse, bare = np.inf, 0.0, 0
    for b in range(blocks):
        if d.total[b] <= 1e-12:
            bare += 1
            continue
        least = min(least, d.total[b])
        inverse += 1.0 / d.total[b]
    return 1.0 / least + 0.01 * inverse / blocks, bare / blocks


@kernel
def balance_neighbour(genome, d, rng, out):  # type: ignore[no-untyped-def]
    """Shift a span, stretch or shrink it at an end, exchange two, or put one beside another."""
    n, blocks = d.speeds.shape[0], d.total.shape[0]
    copy(genome, out)
    j, k, draw = below(rng, n), below(rng, n), rng.random()
    start, size = genome[j], genome[n + j]
    step = step_size(rng, 12)
    step = step if rng.random() < 0.5 else -step
    if draw < 0.35:
        start += step
    elif draw < 0.5:
        size += step
    elif draw < 0.65:
        size += step
        start -= step
    elif draw < 0.8:
        start = genome[k] + genome[n + k]
    elif draw < 0.9:
        start = genome[k] - size
    else:
        start = genome[k]
        out[k] = max(0, min(genome[j], blocks - genome[n + k]))
    size = max(d.least[j], min(size, d.most[j]))
    out[j] = max(0, min(start, blocks - size))
    out[n + j] = size


@kernel
def balance_batch(genomes, d, costs, violations):  # type: ignore[no-untyped-def]
    """Fill costs and violations of genomes (n, 2 J)."""
    for k in range(genomes.shape[0]):
        costs[k], violations[k] = balance_cost(genomes[k], d)


provide(BalanceData, evaluate=balance_cost, neighbour=balance_neighbour)
