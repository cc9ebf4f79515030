"""Chains and capacities for a given placement: column generation, its relaxation as a bound, integral rounding.

max sum_k c_k / T_k  subject to  sum_k u_kj c_k <= slots_j for every server j, c_k whole

The columns are the paths of the chain graph; pricing one is a shortest path once 1/T stands on a tangent (to find
columns) or a chord (to prove that none is missing), as in `bound.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from objectives.sessions.chains import (
    Chain,
    Composition,
    Fleet,
    FloatArray,
    chain_seconds,
    free_slots,
    greedy_chains,
    total_rate,
)
from objectives.sessions.kernels.scores import chain_data, priced_chain
from objectives.sessions.terms import RATE
from objectives.spans import Range
from placement.search.column_program import ColumnProgram

ROUNDS, RANGES = 30, 48
INTEGER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Packing:
    """Chains of a placement, and what no other chains of the same placement exceed.

    Attributes
    ----------
    plan : Composition
    rate, relaxation : float
        Sessions/s of the chains; proven upper bound for this placement.
    """

    plan: Composition
    rate: float
    relaxation: float


class Paths:
    """Paths of the chain graph of one placement, priced."""

    def __init__(self, fleet: Fleet, spans: tuple[Range, ...]) -> None:
        self.fleet = fleet
        self.genome = np.array([a for a, _ in spans] + [b - a for a, b in spans], dtype=np.int64)
        self.data = chain_data(fleet, RATE)
        self.room = np.zeros((2, fleet.n_servers), dtype=np.int64)

    def cheapest(self, per_second: float, prices: FloatArray) -> tuple[float, Chain | None]:
        """Chain of the least ``per_second * T + sum_j prices_j u_j``, and that sum."""
        base = self.data.seconds * per_second
        base[:, 1] += prices
        n, cost = priced_chain(self.genome, self.data._replace(seconds=base), self.room[0], self.room[1])
        if n == 0:
            return float("inf"), None
        return float(cost), Chain(tuple(self.room[0, :n].tolist()), tuple(self.room[1, :n].tolist()), 1)

    def range_of_seconds(self) -> tuple[float, float]:
        """Seconds of the fastest chain, and more than those of any."""
        zero = np.zeros(self.fleet.n_servers)
        sizes = self.genome[self.fleet.n_servers :]
        most = float((self.fleet.session_s + self.fleet.block_s * sizes)[sizes > 0].sum())
        least = self.cheapest(1.0, zero)[0]
        return least, max(most, least * 1.001)


def pack(fleet: Fleet, spans: tuple[Range, ...]) -> Packing:
    """Best chains and capacities for the total rate that rounding and greedy filling find."""
    greedy = greedy_chains(fleet, spans)
    if not greedy:
        return Packing(Composition(spans), 0.0, 0.0)
    chains, relaxation = relaxed(fleet, spans, greedy)
    candidates = [greedy, *rounded(fleet, spans, chains)]
    best = max(candidates, key=lambda found: total_rate(fleet, found))
    return Packing(Composition(spans, best), total_rate(fleet, best), relaxation)


def most_of(fleet: Fleet, plan: Composition) -> float:
    """Sessions/s that no chains of this placement exceed."""
    return relaxed(fleet, plan.spans, plan.chains)[1] if plan.chains else 0.0


def relaxed(fleet: Fleet, spans: tuple[Range, ...], first: tuple[Chain, ...]) -> tuple[list[Chain], float]:
    """Columns that the relaxation wants, their capacities fractional no more than in value; and its proven bound."""
    paths = Paths(fleet, spans)
    low, high = paths.range_of_seconds()
    grid = np.geomspace(low, high * (1.0 + 1e-9), RANGES + 1)
    slots = np.array(free_slots(fleet, spans), dtype=float).clip(min=0.0)
    sessions = float(slots.sum() // fleet.n_blocks)
    master, chains = ColumnProgram(slots), []
    prices = np.zeros(fleet.n_servers)
    waiting, seen = list(first), set()
    for _ in range(ROUNDS):
        for chain in waiting:
            way = (chain.servers, chain.stops)
            if way not in seen:
                seen.add(way)
                used = np.zeros(fleet.n_servers)
                used[list(chain.servers)] = chain.blocks
                master.add(1.0 / chain_seconds(fleet, chain), used)
                chains.append(Chain(*way, 1))
        prices = master.solve()
        slack, waiting = 0.0, []
        for a, b in pairwise(grid):
            least, way_found = paths.cheapest(1.0 / (a * b), prices)
            slack = max(slack, 1.0 / a + 1.0 / b - least)
            if way_found is not None and reduced(fleet, way_found, prices) > 1e-7:
                waiting.append(way_found)
        if not waiting:
            break
    return chains, float(prices @ slots) + slack * sessions


def reduced(fleet: Fleet, chain: Chain, prices: FloatArray) -> float:
    """By how much a session on the chain beats its price, in 1/s."""
    return 1.0 / chain_seconds(fleet, chain) - float(prices[list(chain.servers)] @ np.array(chain.blocks))


def rounded(fleet: Fleet, spans: tuple[Range, ...], chains: list[Chain]) -> list[tuple[Chain, ...]]:
    """Whole capacities: the integer program over the columns, what is left filled greedily."""
    slots = np.array(free_slots(fleet, spans), dtype=float).clip(min=0.0)
    master = ColumnProgram(slots, whole=True, seconds=INTEGER_SECONDS)
    for chain in chains:
        used = np.zeros(fleet.n_servers)
        used[list(chain.servers)] = chain.blocks
        master.add(1.0 / chain_seconds(fleet, chain), used)
    master.solve()
    counts = np.floor(master.values() + 1e-6).astype(int)
    taken = [Chain(c.servers, c.stops, int(n)) for c, n in zip(chains, counts, strict=True) if n > 0]
    if min(free_slots(fleet, spans, taken)) < min(0, int(slots.min())):  # the solver's tolerance is not ours
        return []
    return [greedy_chains(fleet, spans, taken)]
