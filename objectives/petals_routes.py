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
    """Seconds per token by Petals' count, and the chain as (server, start, stop); infinite and empty for no chain."""
    best: dict[tuple[int, int], tuple[float, tuple[int, int] | None]] = {}
    for block in range(start, stop):
        holders = [j for j, (a, b) in enumerate(seen.spans) if a <= block < b]
        left = [j for j, (_, b) in enumerate(seen.spans) if b == block and (j, block) in best]
        for j in holders:
            entry: tuple[float, tuple[int, int] | None] = (math.inf, None)
            if block == start:
                entry = (seen.enter_s(CLIENT, j, tokens), None)
            elif (j, block) in best:
                entry = best[j, block]
            for i in left:
                seconds = best[i, block][0] + seen.enter_s(i, j, tokens)
                if seconds < entry[0]:
                    entry = (seconds, (i, block))
            if math.isfinite(entry[0]):
                best[j, block] = entry
                best[j, block + 1] = (entry[0] + seen.block_s(j), (j, block))
    ends = [(best[j, stop][0] + seen.delay_s(CLIENT, j), j) for j in range(len(seen.spans)) if (j, stop) in best]
    # A server that ends at `stop` is there by its own block `stop - 1`; others are left in the middle of their span.
    ends = [(seconds, j) for seconds, j in ends if seen.spans[j][0] < stop <= seen.spans[j][1]]
    if not ends:
        return math.inf, ()
    seconds, j = min(ends)
    at: tuple[int, int] | None = (j, stop)
    visited: list[tuple[int, int]] = []
    while at is not None:
        visited.append(at)
        at = best[at][1]
    return seconds, _stages(visited[::-1])


def _stages(visited: list[tuple[int, int]]) -> tuple[Stage, ...]:
    """Join the blocks of a path; a server that was entered and left at once is none."""
    stages: list[Stage] = []
    for j, block in visited:
        if stages and stages[-1][0] == j:
            stages[-1] = (j, stages[-1][1], block)
        else:
            stages.append((j, block, block))
    return tuple(stage for stage in stages if stage[2] > stage[1])
