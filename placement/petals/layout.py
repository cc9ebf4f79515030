"""Moves of servers that are worth their reloading, one after another, from the swarm as it stands."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from objectives.petals.rules import throughputs
from objectives.routes.plain import PlainWays
from objectives.routes.swarm import IntArray, Shape, Swarm
from objectives.spans import Range, lacking

WORTH = 0.02  # least relative gain of a move, beside what its reloading must bring
HOLE = 1e3  # value of a block that is held, against any gain in speed


@dataclass(frozen=True, slots=True)
class Move:
    """Server `server` gives up `old` for `new`.

    Attributes
    ----------
    loaded : int
        Blocks that it does not hold yet.
    gain : float
        Relative gain of the swarm's value, 0.1 for a tenth; huge where a block was held by nobody.
    """

    server: int
    old: Range
    new: Range
    loaded: int
    gain: float


@dataclass(frozen=True)
class Layouts:
    """What a layout is worth, and the moves that better it.

    Attributes
    ----------
    swarm : Swarm
        Its spans are where the search begins; a server's rate is that of its present span.
    sizes : tuple of int
        Most blocks of each server.
    preference : float
        0: the fastest chain counts; 1: the throughput of the blocks counts, the weak ones most.
    weight : float
        Relative gain that reloading the whole model must bring.
    """

    swarm: Swarm
    sizes: tuple[int, ...]
    shape: Shape = "star"
    preference: float = 0.5
    weight: float = 0.5

    def at(self, spans: Sequence[Range]) -> Swarm:
        """The swarm with other spans."""
        table: IntArray = np.array(spans, dtype=np.int64)
        return replace(self.swarm, starts=table[:, 0], stops=table[:, 1])

    def spans(self) -> list[Range]:
        """Where the servers are."""
        return [(int(a), int(b)) for a, b in zip(self.swarm.starts, self.swarm.stops, strict=True)]

    def value(self, spans: Sequence[Range]) -> float:
        """Logarithm of the worth: of tokens/s of the fastest chain, and of the harmonic mean of blocks' throughputs."""
        swarm = self.at(spans)
        length = np.maximum(self.swarm.stops - self.swarm.starts, 1)
        speeds = [
            float(rate * size / max(stop - start, 1))
            for rate, size, (start, stop) in zip(self.swarm.rates, length, spans, strict=True)
        ]
        total = throughputs(spans, speeds, swarm.n_blocks)
        empty = int((total <= 0).sum())
        if empty:
            return -HOLE * empty
        soft = math.log(len(total) / float((1.0 / total).sum()))
        ways = PlainWays(swarm, self.shape)
        way = ways.shortest()
        assert way is not None  # every block is held
        return self.preference * soft - (1 - self.preference) * math.log(float(ways.seconds(np.array([way]))[0]))

    def best(self, spans: Sequence[Range], until: float = math.inf) -> Move | None:
        """The move that gains most beyond what its reloading must bring; None: none is worth it, or time is over."""
        now, found, surplus = self.value(spans), None, 0.0
        n_blocks = self.swarm.n_blocks
        for j, old in enumerate(spans):
            if time.perf_counter() > until:
                return None
            size = min(self.sizes[j], n_blocks)
            for start in range(n_blocks - size + 1):
                new = (start, start + size)
                loaded = lacking(new, old)
                if loaded == 0:
                    continue  # what is held already needs no move: chains may use any part of it
                trial = [*spans[:j], new, *spans[j + 1 :]]
                gain = self.value(trial) - now
                left = gain - WORTH - self.weight * loaded / n_blocks
                if left > surplus:
                    surplus, found = left, Move(j, old, new, loaded, math.expm1(min(gain, 50.0)))
        return found

    def moves(self, most: int = 20, until: float = math.inf) -> list[Move]:
        """Moves one after another, each the best at its time; up to the time `until` of `time.perf_counter`."""
        spans = self.spans()
        found: list[Move] = []
        while len(found) < most and (move := self.best(spans, until)) is not None:
            spans[move.server] = move.new
            found.append(move)
        return found
