"""Placements from the literature, to compare with and to start from.

GBP-CR: arXiv:2604.14993 (MobiHoc 2026). Conservative greedy placement: arXiv:2512.21884, as far as its published
description goes. Petals: A. Borzunov et al., "Distributed inference and fine-tuning of large language models over the
internet", NeurIPS 2023, arXiv:2312.08361, and its released sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..petals.rules import joined
from ..spans import Range
from .chains import Chain, Composition, Fleet, chain_seconds, greedy_chains, response_bounds, total_rate

Spans = tuple[Range, ...]
LOAD = 0.7  # load that GBP-CR plans for: published evaluation, rho_max
EVERY_CAPACITY = 20_000  # capacities up to which each is looked at


def sizes_for(fleet: Fleet, sessions: int) -> list[int]:
    """Blocks that each server holds when it keeps room for `sessions` sessions on all of them."""
    per_block = fleet.block_bytes + fleet.cache_bytes * sessions
    return [min(int(memory) // per_block, fleet.n_blocks) for memory in fleet.memory_bytes]


def gbp_cr(fleet: Fleet, sessions: int, *, load: float | None = LOAD) -> Spans:
    """Greedy block placement with cache reservation: chains filled front to back, cheapest servers per block first.

    Parameters
    ----------
    sessions : int
        Capacity c that every server reserves for.
    load : float or None
        Stop when the chains carry the arrivals at this load; None uses every server.
    """
    sizes = sizes_for(fleet, sessions)
    seconds = fleet.session_s + fleet.block_s * np.array(sizes)
    order = sorted((j for j in range(fleet.n_servers) if sizes[j] > 0), key=lambda j: (seconds[j] / sizes[j], j))
    spans: list[Range] = [(0, 0)] * fleet.n_servers
    cut, rate, so_far = 0, 0.0, 0.0
    enough = np.inf if load is None else fleet.arrivals_per_s / (load * sessions)
    for j in order:
        start = min(cut, fleet.n_blocks - sizes[j])
        spans[j] = (start, start + sizes[j])
        cut = start + sizes[j]
        so_far += float(seconds[j])
        if cut == fleet.n_blocks:
            rate += 1.0 / so_far
            cut, so_far = 0, 0.0
            if rate >= enough:
                break
    return tuple(spans)


def conservative_greedy(fleet: Fleet, sessions: int) -> Spans:
    """Windows one server at a time: first where the reserved sessions fall short, then where the path gets faster.

    The servers go by their time per block; each takes the window of its size whose blocks are held for the fewest
    sessions (capped at `sessions`), among equals the one whose present holders are slowest.
    """
    sizes = sizes_for(fleet, sessions)
    seconds = [
        (fleet.session_s[j] + fleet.block_s[j] * size) / size if size else np.inf for j, size in enumerate(sizes)
    ]
    held = np.zeros(fleet.n_blocks)
    slowness = np.full(fleet.n_blocks, 1e3 * max((s for s in seconds if np.isfinite(s)), default=1.0))
    spans: list[Range] = [(0, 0)] * fleet.n_servers
    for j in sorted(range(fleet.n_servers), key=lambda j: (seconds[j], j)):
        size = sizes[j]
        if size == 0:
            continue
        lacking = np.minimum(held, sessions)
        gain = np.maximum(slowness - seconds[j], 0.0)
        starts = range(fleet.n_blocks - size + 1)
        best = min(starts, key=lambda a: (lacking[a : a + size].sum(), -gain[a : a + size].sum(), a))
        spans[j] = (best, best + size)
        held[best : best + size] += fleet.slots[j, size] // size
        slowness[best : best + size] = np.minimum(slowness[best : best + size], seconds[j])
    return tuple(spans)


def petals_greedy(fleet: Fleet, sessions: int) -> Spans:
    """Petals' joining on a fleet: a server's throughput is one over its time per block."""
    sizes = sizes_for(fleet, sessions)
    speed = np.array([size / (fleet.session_s[j] + fleet.block_s[j] * size) for j, size in enumerate(sizes)])
    return joined(sizes, speed.tolist(), fleet.n_blocks)


def most_sessions(fleet: Fleet) -> int:
    """Largest capacity c that the largest server can reserve for with one block."""
    return max(1, int((fleet.memory_bytes.max() - fleet.block_bytes) // fleet.cache_bytes))


def capacities(fleet: Fleet) -> Sequence[int]:
    """Capacities c worth a look: all, or where there are very many those at which a server holds one block less."""
    most = most_sessions(fleet)
    if most <= EVERY_CAPACITY:
        return range(1, most + 1)
    memory, sizes = fleet.memory_bytes[:, None], np.arange(1, fleet.n_blocks + 1)
    last = np.floor((memory / sizes - fleet.block_bytes) / fleet.cache_bytes)  # the most at which it holds so many
    changes = np.concatenate([[1.0], last.ravel(), last.ravel() + 1.0])
    return [int(c) for c in np.unique(changes) if 1 <= c <= most]


def spaced_sessions(fleet: Fleet, growth: float) -> list[int]:
    """Numbers of sessions from one to the most, each about this factor above the one before."""
    most = most_sessions(fleet)
    grid = np.geomspace(1, most, 2 + int(np.log(most) / np.log(growth)))
    return sorted({int(sessions) for sessions in grid})


def composed(fleet: Fleet, spans: Spans) -> Composition:
    """Placement with greedy chains."""
    return Composition(spans, greedy_chains(fleet, spans))


def placements(fleet: Fleet, place: Callable[[Fleet, int], Spans], growth: float = 1.0) -> Iterator[Spans]:
    """Placements of a rule for every capacity c at which the model fits, each once.

    Parameters
    ----------
    growth : float
        Leave out capacities that are less than this factor above the one before.
    """
    seen: set[Spans] = set()
    last = 0
    for sessions in capacities(fleet):
        if sessions < last * growth:
            continue
        last = sessions
        if sum(sizes_for(fleet, sessions)) < fleet.n_blocks:
            break
        spans = place(fleet, sessions)
        if spans not in seen:
            seen.add(spans)
            yield spans


def sweep(fleet: Fleet, place: Callable[[Fleet, int], Spans]) -> Iterator[Composition]:
    """Compositions of a rule for every capacity c, those with a chain."""
    plans = (composed(fleet, spans) for spans in placements(fleet, place))
    return (plan for plan in plans if plan.chains)


def bounds_of(fleet: Fleet, chains: tuple[Chain, ...]) -> tuple[float, float]:
    """Both birth-death bounds in s on the mean response time of chains."""
    seconds = [chain_seconds(fleet, chain) for chain in chains]
    return response_bounds(seconds, [chain.capacity for chain in chains], fleet.arrivals_per_s)


def best_rate(fleet: Fleet, place: Callable[[Fleet, int], Spans]) -> Composition | None:
    """Best total rate over all capacities c."""
    return max(sweep(fleet, place), key=lambda plan: total_rate(fleet, plan.chains), default=None)


def best_response(fleet: Fleet, place: Callable[[Fleet, int], Spans]) -> Composition | None:
    """Least lower bound on the response time over all capacities c, the search that the literature does."""
    return min(sweep(fleet, place), key=lambda plan: bounds_of(fleet, plan.chains)[0], default=None)


def for_load(fleet: Fleet, place: Callable[[Fleet, int], Spans], load: float = LOAD) -> Composition | None:
    """Composition with the least c that holds the sessions in flight by Little's law at a load; None when none does."""
    for spans, sessions in ((place(fleet, c), c) for c in capacities(fleet)):
        plan = composed(fleet, spans)
        if not plan.chains:
            return None
        slots = sum(chain.capacity for chain in plan.chains)
        rate = total_rate(fleet, plan.chains)
        if fleet.arrivals_per_s <= load * rate and sessions <= slots:
            return plan
    return None


def all_servers(fleet: Fleet, sessions: int) -> Spans:
    """GBP-CR that uses every server."""
    return gbp_cr(fleet, sessions, load=None)
