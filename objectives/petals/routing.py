"""Petals' own choice of a chain for inference: the cheapest one under its constants, left at the ends of spans only.

`RemoteSequenceManager._build_inference_graph` of release 2.2.0, where Dijkstra's algorithm finds it; the graph has no
way back, so one pass over the blocks finds the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HOP_S = 0.018  # serialization, as measured by Petals' authors
UNKNOWN_S, MOST_S = 0.15, 5.0  # one way, where the round trip is unknown; where a server does not answer
BLOCKS_PER_S = 300.0  # where a server announces none
NO_CACHE_S = 10.0
CLIENT = -1
Stage = tuple[int, int, int]


@dataclass(frozen=True)
class Seen:
    """A swarm as a Petals client sees it; servers are numbered in the order in which ties are broken.

    Attributes
    ----------
    spans : sequence of (int, int)
    blocks_per_s : sequence of float or None
        `inference_rps`.
    rtt_s : mapping of (int, int) to float
        Round trips in s that are known; the client is -1. A server knows those to its successors only.
    cache_tokens : sequence of int or None
        `cache_tokens_left`.
    """

    spans: Sequence[tuple[int, int]]
    blocks_per_s: Sequence[float | None]
    rtt_s: Mapping[tuple[int, int], float] = field(default_factory=dict)
    cache_tokens: Sequence[int | None] = ()

    def delay_s(self, first: int, second: int) -> float:
        """One way in s, as Petals takes it."""
        rtt = self.rtt_s.get((first, second))
        return UNKNOWN_S if rtt is None else min(rtt / 2, MOST_S)

    def enter_s(self, first: int, second: int, tokens: int | None) -> float:
        """Seconds of a hop into a server, more where its cache is too small for its whole span."""
        left = self.cache_tokens[second] if self.cache_tokens else None
        start, stop = self.spans[second]
        full = tokens is not None and left is not None and tokens * 2 * (stop - start) > left
        return self.delay_s(first, second) + HOP_S + (NO_CACHE_S if full else 0.0)

    def block_s(self, server: int) -> float:
        """Seconds of a block for one token."""
        speed = self.blocks_per_s[server]
        return 1.0 / (BLOCKS_PER_S if speed is None else speed)


def petals_route(seen: Seen, start: int, stop: int, tokens: int | None = None) -> tuple[float, tuple[Stage, ...]]:
    """Seconds per token by Petals' count, and the chain as (server, start, stop); infinite and empty for no chain.

    Servers are entered where another one ends, or at `start`, so only those blocks need a look.
    """
    spans, never = seen.spans, (math.inf, -1, -1)
    ends: dict[int, list[int]] = {start: [], stop: []}
    for j, (first, last) in enumerate(spans):
        if start < last <= stop and first < last:
            ends.setdefault(last, []).append(j)
    cuts = sorted(ends)
    # Seconds so far, the server before, and the block at which this one was entered; by server, and by its end.
    inside: dict[int, tuple[float, int, int]] = {}
    left_at: dict[tuple[int, int], tuple[float, int, int]] = {}
    for cut, after in zip(cuts, [*cuts[1:], stop], strict=True):
        left = [(left_at[i, cut][0], i) for i in ends[cut] if (i, cut) in left_at]
        now: dict[int, tuple[float, int, int]] = {}
        for j, (first, last) in enumerate(spans):
            if not first <= cut < last or cut == stop:
                continue
            entry = inside.get(j, never)
            if cut == start:
                entry = (seen.enter_s(CLIENT, j, tokens), CLIENT, cut)
            for before, i in left:
                seconds = before + seen.enter_s(i, j, tokens)
                if seconds < entry[0]:
                    entry = (seconds, i, cut)
            if math.isfinite(entry[0]):
                done = (entry[0] + (after - cut) * seen.block_s(j), entry[1], entry[2])
                now[j] = done
                if after in (last, stop):
                    left_at[j, after] = done
        inside = now
    last_hop = [(left_at[j, stop][0] + seen.delay_s(CLIENT, j), j) for j in range(len(spans)) if (j, stop) in left_at]
    if not last_hop:
        return math.inf, ()
    seconds, j = min(last_hop)
    stages: list[Stage] = []
    at = stop
    while j != CLIENT:
        _, before_j, entered = left_at[j, at]
        stages.append((j, entered, at))
        j, at = before_j, entered
    return seconds, tuple(stages[::-1])
