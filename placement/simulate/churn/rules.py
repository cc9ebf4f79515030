"""Rules that choose spans as servers come and go: Petals' own, and ours, which weighs moving.

Petals: A. Borzunov et al., arXiv:2312.08361, and `petals.server.block_selection` of its release 2.2.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from objectives.petals.rules import best_start, throughputs, verdict
from objectives.spans import Range, count_holders, lacking

from .world import FloatArray, World

Spans = dict[int, Range]


class Rule(Protocol):
    """What the simulator asks."""

    def join(self, world: World, spans: Spans, server: int) -> Range:
        """Return the span of a server that comes."""
        ...

    def review(self, world: World, spans: Spans, rng: np.random.Generator) -> Spans:
        """Return new spans of servers that should move now, often none."""
        ...


def announced(world: World, server: int, span: Range) -> float:
    """Throughput of a server's blocks: its blocks per second over its span."""
    return float(world.speeds[server] / (span[1] - span[0]))


def coverage(world: World, spans: Spans, without: int = -1) -> FloatArray:
    """Throughput of each block: the sum over its holders."""
    held = {j: span for j, span in spans.items() if j != without}
    return throughputs([*held.values()], [announced(world, j, span) for j, span in held.items()], world.n_blocks)


def holders_of(world: World, spans: Spans, without: int = -1) -> FloatArray:
    """Count the holders of each block."""
    return count_holders(world.n_blocks, (span for j, span in spans.items() if j != without)).astype(np.float64)


@dataclass(frozen=True)
class PetalsRule:
    """Greedy joining, and rebalancing when the swarm's bottleneck could be a third better.

    A server looks on its own from time to time, and moves alone, as each Petals server does.
    """

    def join(self, world: World, spans: Spans, server: int) -> Range:
        """Take the window with the least sorted throughputs."""
        size = world.sizes[server]
        start = best_start(coverage(world, spans), size)
        return start, start + size

    def review(self, world: World, spans: Spans, rng: np.random.Generator) -> Spans:
        """Return the moves of the servers that would choose other blocks now, one after another."""
        now, moved = dict(spans), {}
        for j in rng.permutation(sorted(spans)).tolist():
            place = self.better(world, now, j, rng)
            if place is not None:
                now[j] = moved[j] = place
        return moved

    def better(self, world: World, spans: Spans, server: int, rng: np.random.Generator) -> Range | None:
        """The place that a server would take when it drops its own, or None to stay."""
        order = sorted(spans)
        places, speeds = [spans[j] for j in order], [announced(world, j, spans[j]) for j in order]
        if not verdict(places, speeds, order.index(server), world.n_blocks, rng.shuffle).moves:
            return None
        start, stop = spans[server]
        first = best_start(coverage(world, spans, server), stop - start)
        return (first, first + stop - start)


@dataclass(frozen=True)
class WeighedRule:
    """Spans may shrink; a move must pay for the seconds that its server is away.

    A coming server takes the window, of any length up to its own, that leaves the best swarm: most of all every block
    held, by servers that are fast and near the client. When a block is held by nobody, or held thinly, the cheapest
    single move that helps is made; `weight` says how much better the swarm must be per part of the model reloaded.

    Attributes
    ----------
    weight : float
        Relative gain of the swarm's value that one reload of the whole model must bring.
    spare : float
        Value of a second holder: a swarm whose blocks have one holder each breaks with every leave.
    """

    weight: float = 0.5
    spare: float = 0.5

    def value(self, world: World, spans: Spans) -> tuple[float, float]:
        """(part of the blocks held, soft minimum of the throughput with a bonus for second holders)."""
        return self.worth(coverage(world, spans), holders_of(world, spans))

    def worth(self, total: FloatArray, holders: FloatArray) -> tuple[float, float]:
        """Value by the throughput and the number of holders of each block."""
        held = float((holders > 0).mean())
        soft = len(total) / np.sum(1.0 / np.maximum(total, 1e-3))
        return held, float(soft * (1.0 + self.spare * np.minimum(holders - 1, 2).clip(min=0).mean()))

    def with_window(
        self, world: World, server: int, window: Range, total: FloatArray, holders: FloatArray
    ) -> tuple[float, float]:
        """Value when a server takes a window beside what others hold."""
        total, holders = total.copy(), holders.copy()
        total[slice(*window)] += announced(world, server, window)
        holders[slice(*window)] += 1
        return self.worth(total, holders)

    def windows(self, world: World, spans: Spans, server: int) -> list[Range]:
        """Windows worth a look: full length and shorter ones, also at the edges of what nobody holds."""
        size, n = world.sizes[server], world.n_blocks
        return [
            (start, start + length)
            for length in sorted({size, max(1, size * 3 // 4), max(1, size // 2)})
            for start in range(0, n - length + 1, 1 if length == size else 2)
        ]

    def join(self, world: World, spans: Spans, server: int) -> Range:
        """Take the window of the best value."""
        total, holders = coverage(world, spans, server), holders_of(world, spans, server)
        return max(
            self.windows(world, spans, server),
            key=lambda place: (self.with_window(world, server, place, total, holders), place),
        )

    def review(self, world: World, spans: Spans, rng: np.random.Generator) -> Spans:
        """Return the one move whose gain per block to load is largest, if it pays."""
        if not spans:
            return {}
        held, value = self.value(world, spans)
        best: tuple[float, int, Range] | None = None
        for j, place in spans.items():
            size, total, holders = world.sizes[j], coverage(world, spans, j), holders_of(world, spans, j)
            for start in range(0, world.n_blocks - size + 1, 2):
                new = (start, start + size)
                loaded = lacking(new, place)
                if loaded == 0:
                    continue
                then, better = self.with_window(world, j, new, total, holders)
                gain = (then - held) * 10.0 + (better / value - 1.0 if then >= held else -1.0)
                net = gain - self.weight * loaded / world.n_blocks
                if net > 0.02 and (best is None or net > best[0]):
                    best = (net, j, new)
        return {best[1]: best[2]} if best else {}
