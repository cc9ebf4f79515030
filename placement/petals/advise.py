"""Petals' balance of a swarm against ours, and the moves worth making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.petals.rules import by_first_block, settle, throughputs, verdict
from objectives.routes.plain import PlainWays
from objectives.routes.swarm import Shape, Swarm
from objectives.spans import Range, lacking

from ..kinds.routes.front import exact_front
from .layout import Layouts, Move

RATE_BYTES_PER_S = 12.5e6  # 100 Mbit/s, what Petals assumes when its speed test fails
RESTART_S = 60.0  # a server that restarts, beside its download


@dataclass(frozen=True, slots=True)
class Balance:
    """A layout's figures.

    Attributes
    ----------
    bottleneck : float
        Least announced throughput of a block, in tokens/s: what Petals balances. 0 where a block is held by nobody.
    token_s : float
        Seconds per token of the fastest chain, as a star; infinite where there is none.
    moves : int
    loaded : int
        Blocks to load on the way there.
    """

    spans: tuple[Range, ...]
    bottleneck: float
    token_s: float
    moves: int = 0
    loaded: int = 0


@dataclass(frozen=True, slots=True)
class Advice:
    """What `placement petals advise` shows.

    Attributes
    ----------
    now, petals, ours : Balance
        As it stands; where Petals' servers would settle when all chose anew; after our moves.
    movers : tuple of str
        Servers that Petals' rule would move by itself.
    moves : tuple of Move
    block_bytes, load_bytes_per_s : float
        Bytes of a block, 0 when unknown; download rate of a server.
    """

    names: tuple[str, ...]
    now: Balance
    petals: Balance
    ours: Balance
    movers: tuple[str, ...]
    moves: tuple[Move, ...]
    block_bytes: float
    load_bytes_per_s: float

    def outage_s(self, move: Move) -> float:
        """Seconds that a server is away for a move."""
        return RESTART_S + move.loaded * self.block_bytes / self.load_bytes_per_s

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        balances = {"now": self.now, "petals": self.petals, "ours": self.ours}
        return {
            "status": "solved",
            "kind": "petals-advice",
            **{
                key: {"tokens_per_s": b.bottleneck, "token_s": b.token_s if np.isfinite(b.token_s) else None,
                      "moves": b.moves, "loaded_blocks": b.loaded}
                for key, b in balances.items()
            },
            "petals_would_move": list(self.movers),
            "moves": [
                {"server": self.names[m.server], "from": list(m.old), "to": list(m.new), "loaded_blocks": m.loaded,
                 "loaded_bytes": m.loaded * self.block_bytes, "outage_s": self.outage_s(m), "gain": m.gain}
                for m in self.moves
            ],
        }  # fmt: skip


def advise(
    swarm: Swarm,
    *,
    shape: Shape = "star",
    preference: float = 0.5,
    weight: float = 0.5,
    block_bytes: float = 0.0,
    load_bytes_per_s: float = RATE_BYTES_PER_S,
    most_moves: int = 10,
    seed: int = 0,
) -> Advice:
    """Compare the swarm as it stands with where Petals' rule and ours would take it; span lengths stay.

    Parameters
    ----------
    preference : float
        0: the fastest chain counts; 1: the throughput of the blocks.
    weight : float
        Relative gain that reloading the whole model must bring.
    """
    rng, n_blocks = np.random.default_rng(seed), swarm.n_blocks
    spans = [(int(a), int(b)) for a, b in zip(swarm.starts, swarm.stops, strict=True)]
    speeds = [float(rate) for rate in swarm.rates]
    layouts = Layouts(swarm, tuple(b - a for a, b in spans), shape, preference, weight)
    movers = tuple(swarm.names[j] for j in range(len(spans)) if verdict(spans, speeds, j, n_blocks, rng.shuffle).moves)
    settled, total = list(spans), throughputs(spans, speeds, n_blocks)
    settle(settled, total, speeds, rng.shuffle, by_first_block(spans))
    moves, after = layouts.moves(most_moves), list(spans)
    for move in moves:
        after[move.server] = move.new
    now, petals, ours = (balance(layouts, layout, spans) for layout in (spans, settled, after))
    return Advice(
        swarm.names, now, petals, ours, movers, tuple(moves), block_bytes, load_bytes_per_s or RATE_BYTES_PER_S
    )


def balance(layouts: Layouts, spans: list[Range], before: list[Range]) -> Balance:
    """Figures of a layout."""
    swarm = layouts.at(spans)
    bottleneck = float(throughputs(spans, [float(rate) for rate in swarm.rates], swarm.n_blocks).min())
    fastest = np.inf
    if swarm.missing is None:
        fastest = exact_front(swarm, layouts.shape, plain=PlainWays(swarm, layouts.shape))[0].latency_s
    loaded = sum(lacking(new, old) for new, old in zip(spans, before, strict=True))
    moves = sum(new != old for new, old in zip(spans, before, strict=True))
    return Balance(tuple(spans), bottleneck, float(fastest), moves, loaded)
