"""Petals' balance of a swarm against ours, and the moves worth making."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.petals.rules import by_first_block, settle, throughputs, verdict
from objectives.routes.plain import PlainWays
from objectives.routes.swarm import Route, Shape, Swarm
from objectives.spans import Range, lacking

from ..errors import InputError
from ..plan.plan import Figures, ObjectiveValue, PlacedChain, PlacedSpan, Plan
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
    chains : tuple of Route
        Every trade of latency against throughput, the fastest chain first; empty where a block is held by nobody.
    """

    spans: tuple[Range, ...]
    bottleneck: float
    token_s: float
    moves: int = 0
    loaded: int = 0
    chains: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    """Where a swarm could go, and the plan of our moves.

    Attributes
    ----------
    now, petals, ours : Balance
        As it stands; where Petals' servers would settle when all chose anew; after our moves.
    movers : tuple of str
        Servers that Petals' rule would move by itself.
    moves : tuple of Move
    block_bytes, load_bytes_per_s : float
        Bytes of a block, 0 when unknown; download rate of a server.
    plan : Plan
        The layout after our moves, of kind "routes".
    cut_short : bool
        Time was over before all moves were sought.
    """

    names: tuple[str, ...]
    now: Balance
    petals: Balance
    ours: Balance
    movers: tuple[str, ...]
    moves: tuple[Move, ...]
    block_bytes: float
    load_bytes_per_s: float
    plan: Plan
    cut_short: bool = False

    def outage_s(self, move: Move) -> float:
        """Seconds that a server is away for a move."""
        return RESTART_S + move.loaded * self.block_bytes / self.load_bytes_per_s

    def told_moves(self) -> list[dict[str, Any]]:
        """The moves as plain data."""
        return [
            {
                "server": self.names[move.server],
                "from": list(move.old),
                "to": list(move.new),
                "loaded_blocks": move.loaded,
                "loaded_bytes": move.loaded * self.block_bytes,
                "outage_s": self.outage_s(move),
                "gain": move.gain,
            }
            for move in self.moves
        ]

    def plan_document(self) -> dict[str, Any]:
        """The plan as plain data with the moves that lead to it beside it; `Plan.load` reads it."""
        moved = sum(move.loaded for move in self.moves) * self.block_bytes
        return {**self.plan.to_dict(), "moves": self.told_moves(), "moved_bytes": moved}

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the three layouts' figures, the moves, and the plan."""
        balances = {"now": self.now, "petals": self.petals, "ours": self.ours}
        return {
            "status": "solved",
            "kind": "petals-advice",
            **{
                key: {
                    "tokens_per_s": balance.bottleneck,
                    "token_s": balance.token_s if np.isfinite(balance.token_s) else None,
                    "moves": balance.moves,
                    "loaded_blocks": balance.loaded,
                }
                for key, balance in balances.items()
            },
            "petals_would_move": list(self.movers),
            "moves": self.told_moves(),
            "cut_short": self.cut_short,
            "plan": self.plan.to_dict(),
        }


def advise(
    swarm: Swarm,
    *,
    shape: Shape = "star",
    preference: float = 0.5,
    weight: float = 0.5,
    block_bytes: float = 0.0,
    load_bytes_per_s: float = RATE_BYTES_PER_S,
    most_moves: int = 10,
    seconds: float = math.inf,
    seed: int = 0,
) -> Advice:
    """Compare the swarm as it stands with where Petals' rule and ours would take it; span lengths stay.

    Parameters
    ----------
    swarm : Swarm
        As it stands; blocks may be held by nobody.
    shape : str
        "star" or "chain".
    preference : float
        0: the fastest chain counts; 1: the throughput of the blocks.
    weight : float
        Relative gain that reloading the whole model must bring; at least 0.
    block_bytes, load_bytes_per_s : float
        Bytes of a block, 0 when unknown; download rate of a server, 0 for 100 Mbit/s.
    most_moves : int
    seconds : float
        For seeking moves.
    seed : int
        Petals' servers look at the swarm in an order of chance.

    Raises
    ------
    InputError
        A number is out of its range.
    """
    if not 0.0 <= preference <= 1.0:
        raise InputError(f"expected a number from 0 (latency) to 1 (throughput), got {preference}", "preference")
    for name, value in (("weight", weight), ("block_bytes", block_bytes), ("load_bytes_per_s", load_bytes_per_s)):
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"expected a finite number of at least 0, got {value}", name)
    rng, n_blocks = np.random.default_rng(seed), swarm.n_blocks
    spans = [(int(a), int(b)) for a, b in zip(swarm.starts, swarm.stops, strict=True)]
    speeds = [float(rate) for rate in swarm.rates]
    layouts = Layouts(swarm, tuple(b - a for a, b in spans), shape, preference, weight)
    movers = tuple(swarm.names[j] for j in range(len(spans)) if verdict(spans, speeds, j, n_blocks, rng.shuffle).moves)
    settled, total = list(spans), throughputs(spans, speeds, n_blocks)
    settle(settled, total, speeds, rng.shuffle, by_first_block(spans))
    until = time.perf_counter() + seconds
    moves, after = layouts.moves(most_moves, until), list(spans)
    late = time.perf_counter() > until
    for move in moves:
        after[move.server] = move.new
    now, petals, ours = (balance(layouts, layout, spans) for layout in (spans, settled, after))
    plan = plan_of(layouts, ours, seed)
    rate = load_bytes_per_s or RATE_BYTES_PER_S
    return Advice(swarm.names, now, petals, ours, movers, tuple(moves), block_bytes, rate, plan, late)


def balance(layouts: Layouts, spans: Sequence[Range], before: Sequence[Range]) -> Balance:
    """Figures of a layout, and what it takes to get there from another one."""
    swarm = layouts.at(spans)
    bottleneck = float(throughputs(spans, [float(rate) for rate in swarm.rates], swarm.n_blocks).min())
    chains = PlainWays(swarm, layouts.shape).front() if swarm.missing is None else ()
    fastest = chains[0].latency_s if chains else np.inf
    loaded = sum(lacking(new, old) for new, old in zip(spans, before, strict=True))
    moves = sum(new != old for new, old in zip(spans, before, strict=True))
    return Balance(tuple(spans), bottleneck, float(fastest), moves, loaded, chains)


def plan_of(layouts: Layouts, found: Balance, seed: int) -> Plan:
    """A layout of the swarm as a plan: who holds which blocks, and the chains through it.

    Parameters
    ----------
    layouts : Layouts
        Whose worth the objective is: a weighed geometric mean of the tokens/s of the fastest chain and of the harmonic
        mean of the blocks' throughputs. 0 where a block is held by nobody.
    found : Balance
        The layout.
    seed : int
    """
    swarm, whole = layouts.swarm, bool(found.chains)
    fastest = {"time_per_token_s": found.token_s, "tokens_per_s": found.chains[0].rate} if whole else {}
    spans = sorted(zip(found.spans, swarm.names, strict=True))
    holes = "" if whole else "a block is held by nobody"
    notes = (
        "servers keep the lengths of their spans",
        "tokens/s of the objective: of the fastest chain to the power of "
        f"{1 - layouts.preference:g}, times the harmonic mean of the blocks' to the power of {layouts.preference:g}",
    )
    return Plan(
        kind="routes",
        status="solved" if whole else "infeasible",
        model="",
        n_blocks=swarm.n_blocks,
        block_names=tuple(f"layer.{block}" for block in range(swarm.n_blocks)),
        placement=tuple(PlacedSpan(name, start, stop) for (start, stop), name in spans),
        objective=ObjectiveValue(
            name="worth",
            value=math.exp(layouts.value(found.spans)) if whole else 0.0,
            unit="tokens/s",
            sense="maximize",
            bound=None,
            gap=None,
            proven_optimal=False,
        ),
        figures=Figures({**fastest, "weakest_block_tokens_per_s": found.bottleneck}),
        chains=tuple(_chain(swarm, route) for route in found.chains),
        solver="moves",
        seed=seed,
        stopped_by="exhausted",
        notes=(*notes, *((holes,) if holes else ())),
    )


def _chain(swarm: Swarm, route: Route) -> PlacedChain:
    nodes = tuple(swarm.names[server] for server, _, _ in route.stages)
    stops = tuple(stop for _, _, stop in route.stages)
    return PlacedChain(nodes, stops, seconds=route.latency_s, tokens_per_s=route.rate)
