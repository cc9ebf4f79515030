"""Petals' own rules in plain Python: what a server announces, which blocks it takes, and when it takes others.

A. Borzunov et al., "Distributed inference and fine-tuning of large language models over the internet", NeurIPS 2023,
arXiv:2312.08361, and the sources of release 2.2.0 (`petals/server/server.py`, `throughput.py`, `block_selection.py`).
Every sum is taken in Petals' order, so that verdicts are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..spans import Range

FloatArray = npt.NDArray[np.float64]
Shuffle = Callable[[list[int]], object]

BALANCE_QUALITY = 0.75  # Petals' default: the swarm must become a third better
EPS = 1e-3
RELAYED = 0.2  # part of the network's rate that is left to a server behind a relay
GIB = 1024**3
MOST_ROUNDS = 1000  # Petals sets no limit; a swarm of equal servers may go round for ever
BITS = {"nf4": 4.25, "int8": 8.0}
CACHE_TOKENS = {True: 16_384, False: 4_096}  # with grouped queries, without


def most_blocks(
    memory_bytes: float, hidden: int, block_bytes: float, cache_bytes: float, *, devices: int = 1, n_blocks: int = 0
) -> int:
    """Blocks that a GPU server takes by itself (`Server._choose_num_blocks`).

    Parameters
    ----------
    memory_bytes : float
        Of all its devices together, the smallest counted for each.
    hidden : int
        Hidden size of the model; 2 GiB for 14336 are kept for backward passes.
    block_bytes, cache_bytes : float
        Weights of one block (`block_size`); attention cache of one block (`cache_size`).
    n_blocks : int
        Blocks of the model; 0 for no limit.
    """
    autograd = 2 * GIB * devices / 14336 * hidden
    count = int((memory_bytes - autograd) // (block_bytes + cache_bytes))
    return max(0, min(count, n_blocks) if n_blocks else count)


def block_size(params: int, dtype_bytes: int, quantization: str = "none") -> int:
    """Bytes of one block of `params` weights in memory (`get_block_size`): 1% for tables and descriptions."""
    per_weight = BITS[quantization] / 8 if quantization in BITS else dtype_bytes
    return round(params * per_weight * 1.01)


def cache_size(hidden: int, groups: int, dtype_bytes: int, tokens: int | None = None) -> int:
    """Bytes of attention cache that a server keeps for one block; `groups` are queries per key and value."""
    length = CACHE_TOKENS[groups > 1] if tokens is None else tokens
    return 2 * hidden * length // groups * dtype_bytes


def announced(forward_rps: float, network_rps: float, size: int, *, relayed: bool = False) -> float:
    """Throughput that a server with `size` blocks announces, in tokens/s (`get_server_throughput`)."""
    return min(forward_rps / ((size + 1) / 2), network_rps * (RELAYED if relayed else 1))


def throughputs(spans: Sequence[Range], speeds: Sequence[float], n_blocks: int) -> FloatArray:
    """Throughput of each block: the sum over its holders, in the order given (Petals: by peer id)."""
    total = np.zeros(n_blocks)
    for (start, stop), speed in zip(spans, speeds, strict=True):
        total[start:stop] += speed
    return total


def best_start(total: FloatArray, size: int) -> int:
    """First block of the window with the least sorted throughputs (`_choose_best_start`), the first among equals."""
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(total, size), axis=1)
    return int(np.lexsort(windows.T[::-1])[0])


def joined(sizes: Sequence[int], speeds: Sequence[float], n_blocks: int) -> tuple[Range, ...]:
    """Spans of servers that come one after another (`choose_best_blocks` of each); size 0 takes nothing."""
    total = np.zeros(n_blocks)
    spans: list[Range] = []
    for size, speed in zip(sizes, speeds, strict=True):
        start = best_start(total, size) if size else 0
        total[start : start + size] += speed
        spans.append((start, start + size))
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `should_choose_other_blocks` says.

    Attributes
    ----------
    moves : bool
    start : int
        Where the server would go first.
    quality : float
        Least throughput now over the least one after everybody has chosen again; 1 where that was not looked at.
    """

    moves: bool
    start: int
    quality: float = 1.0


def verdict(
    spans: Sequence[Range],
    speeds: Sequence[float],
    server: int,
    n_blocks: int,
    shuffle: Shuffle,
    balance_quality: float = BALANCE_QUALITY,
) -> Verdict:
    """Whether a server drops its blocks for others (`should_choose_other_blocks`).

    Parameters
    ----------
    shuffle : callable
        Brings a list into random order in place, as Petals does before every round of choices.
    """
    own = spans[server]
    if balance_quality > 1.0:
        return Verdict(True, own[0])
    total = throughputs(spans, speeds, n_blocks)
    before = float(total.min())
    total[slice(*own)] -= speeds[server] * (1 + EPS)
    if before > EPS and total.min() <= 0:
        return Verdict(False, own[0])
    start = best_start(total, own[1] - own[0])
    if start == own[0]:
        return Verdict(False, start)
    now, order = list(spans), by_first_block(spans)
    total[slice(*own)] += speeds[server] * EPS
    now[server] = (start, start + own[1] - own[0])
    total[slice(*now[server])] += speeds[server]
    settle(now, total, speeds, shuffle, order)
    after = float(total.min())
    if after < before or after < EPS:
        return Verdict(False, start)
    return Verdict(before / after < balance_quality - EPS, start, before / after)


def by_first_block(spans: Sequence[Range]) -> list[int]:
    """Servers in the order in which Petals comes across them in the DHT, before it shuffles."""
    return sorted(range(len(spans)), key=lambda j: (spans[j][0], j))


def settle(
    spans: list[Range], total: FloatArray, speeds: Sequence[float], shuffle: Shuffle, servers: Sequence[int]
) -> None:
    """Let `servers` choose again, in random order, until nobody moves; changes `spans` and `total` in place."""
    for _ in range(MOST_ROUNDS):
        order = list(servers)
        shuffle(order)
        moved = False
        for j in order:
            start, stop = spans[j]
            total[start:stop] -= speeds[j] * (1 + EPS)
            first = best_start(total, stop - start)
            total[start:stop] += speeds[j] * EPS
            if first != start:
                spans[j] = (first, first + stop - start)
                moved = True
            total[slice(*spans[j])] += speeds[j]
        if not moved:
            return
