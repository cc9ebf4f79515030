"""Which stages and hops a dynamic program may use, and what they cost; shared by `bounds.py` and the exact solver.

Nodes that can be exchanged are one *type*; T types, L blocks, the client is type T.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.jit import kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class StageData(NamedTuple):
    """Costs and limits of stages and hops.

    A stage of type t may end at `stop` when it starts within ``low[t, stop] <= start <= high[t, stop]`` (empty when
    low > high); both grow with `stop`. A hop i -> j at a cut costs ``latency[i, j] + volume[cut] * per_byte[i, j]``
    (infinite latency: no link) and is refused when ``cut_bytes[cut] > most_bytes[i, j]``.
    """

    stage: FloatArray
    fixed: FloatArray
    low: IntArray
    high: IntArray
    latency: FloatArray
    per_byte: FloatArray
    volume: FloatArray
    cut_bytes: FloatArray
    most_bytes: FloatArray
    cut_allowed: npt.NDArray[np.bool_]


@kernel
def hop(d, i, j, cut):
    """Cost of a hop, infinite where it is not possible."""
    if d.cut_bytes[cut] > d.most_bytes[i, j]:
        return np.inf
    return d.latency[i, j] + d.volume[cut] * d.per_byte[i, j]


@kernel
def add_hops(d, row, i, j, entry):
    """Lower ``entry[s]`` to ``row[s]`` plus the hop from type i to type j at cut s, for the inner cuts."""
    latency, per_byte, most = d.latency[i, j], d.per_byte[i, j], d.most_bytes[i, j]
    if latency == np.inf:
        return
    if most == np.inf:
        for s in range(1, entry.shape[0] - 1):
            total = row[s] + (latency + d.volume[s] * per_byte)
            entry[s] = total if total < entry[s] else entry[s]
    else:
        for s in range(1, entry.shape[0] - 1):
            total = row[s] + (latency + d.volume[s] * per_byte)
            if total < entry[s] and d.cut_bytes[s] <= most:
                entry[s] = total


@kernel
def slide(d, t, entry, queue, value, out):
    """Fill ``out[stop]``: the least ``entry[start]`` plus the stage on type t that ends there, over all starts.

    Sliding window minimum (D. Lemire, arXiv:cs/0610046).
    """
    head, tail, pushed = 0, 0, 0
    stage, fixed = d.stage[t], d.fixed[t]
    out[0] = np.inf
    for stop in range(1, out.shape[0]):
        while pushed <= d.high[t, stop]:
            if entry[pushed] < np.inf and (pushed == 0 or d.cut_allowed[pushed]):
                value[pushed] = entry[pushed] - stage[pushed]
                while tail > head and value[queue[tail - 1]] >= value[pushed]:
                    tail -= 1
                queue[tail] = pushed
                tail += 1
            pushed += 1
        while head < tail and queue[head] < d.low[t, stop]:
            head += 1
        out[stop] = value[queue[head]] + stage[stop] + fixed if head < tail else np.inf


@kernel
def windows(need, most, extra, extra_most, refused, low):
    """Fill ``low[stop]``: the first start with need and extra (prefix sums) at most so much and no refused block."""
    s = 0
    for stop in range(low.shape[0]):
        while s < stop and (
            need[stop] - need[s] > most or extra[stop] - extra[s] > extra_most or refused[stop] > refused[s]
        ):
            s += 1
        low[stop] = s
