"""Placements whose chains are alike: the best numbers of stages of one to four servers of each type, all enumerated.

Where servers are of few types, what makes a chain good is how many of its stages are of which type and how many servers
share one, at a given number of sessions. Time and sessions of a chain do not depend on the order of its stages, so a
few thousand combinations of counts cover these placements. A fleet holds as many chains of a combination as it has
servers for; the fastest that the rest can make follow.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from itertools import product

import numpy as np

from objectives.sessions.baselines import Spans, spaced_sessions
from objectives.sessions.chains import Fleet, FloatArray, IntArray
from objectives.spans import Range

from .stages import common_size

WIDEST, GROWTH = 4, 1.04  # servers of a stage, step between numbers of sessions
# By number of types, and for each of them, the fastest first: the most stages of 1, 2, ... servers in a chain. As many
# of one server of the slowest type come on top as the model needs.
MOST_STAGES = {
    1: ((0, 4, 2, 1),),
    2: ((8, 4, 2, 1), (0, 4, 2, 1)),
    3: ((6, 2, 1, 0), (2, 1, 0, 0), (0, 4, 2, 1)),
}
BEST = 24  # combinations that are built


@dataclass(frozen=True)
class Types:
    """Servers by type, the fastest type first; servers of a type by their time per session.

    Attributes
    ----------
    members : tuple of int array
    session_s, block_s : array (T,)
        Means over the members.
    """

    members: tuple[IntArray, ...]
    session_s: FloatArray
    block_s: FloatArray


def types_of(fleet: Fleet) -> Types:
    """Group servers that differ in nothing but their time per session."""
    keys = np.stack([fleet.block_s, -fleet.memory_bytes.astype(float)], axis=1)
    kinds, which = np.unique(keys, axis=0, return_inverse=True)
    members = []
    for t in range(len(kinds)):
        own = np.flatnonzero(which.reshape(-1) == t)
        members.append(own[np.argsort(fleet.session_s[own], kind="stable")])
    return Types(tuple(members), np.array([fleet.session_s[own].mean() for own in members]), kinds[:, 0])


def combinations(n_types: int) -> IntArray:
    """Numbers of stages (N, T, W) of each type and width; those of one server of the slowest type are left at 0."""
    ranges = [range(most + 1) for own in MOST_STAGES[n_types] for most in own]
    return np.array(list(product(*ranges)), dtype=np.int64).reshape(-1, n_types, WIDEST)


def lines(fleet: Fleet, *, response: bool) -> Generator[None, None, list[Spans]]:
    """Enumerate, a step for each number of sessions; none for a fleet of many types.

    Parameters
    ----------
    response : bool
        Best by the mean response time of equal chains at the fleet's arrivals; otherwise by their total rate.

    Returns
    -------
    list of spans
        Placements of the best combinations, the best first.
    """
    types = types_of(fleet)
    if len(types.members) not in MOST_STAGES:
        return []
    every = combinations(len(types.members))
    found: dict[bytes, tuple[float, int, IntArray]] = {}
    for sessions in spaced_sessions(fleet, GROWTH):
        line = Line(fleet, types, sessions, every)
        slots = line.chains * sessions
        costs = waiting_s(line.seconds, slots, fleet.arrivals_per_s) if response else line.seconds / slots
        for k in np.argsort(costs)[:BEST]:
            key = line.counts[k].tobytes()
            if np.isfinite(costs[k]) and (key not in found or costs[k] < found[key][0]):
                found[key] = (float(costs[k]), sessions, line.counts[k])
        yield
    ranked = sorted(found.values(), key=lambda entry: entry[0])[:BEST]
    built = []
    for _, sessions, counts in ranked:
        built.append(Line(fleet, types, sessions, every).built(counts))
        yield
    return built


class Line:
    """Combinations at one number of sessions.

    Attributes
    ----------
    sizes : int array (T, W)
        Most blocks of a stage of so many servers of a type with room for the sessions among them; 0 for none.
    counts : int array (N, T, W)
        Combinations that hold the model and that the fleet has servers for.
    used : int array (N, T)
        Servers of each type in a chain.
    seconds, chains : array (N,)
        Of a chain, and how many of them there are servers for.
    """

    def __init__(self, fleet: Fleet, types: Types, sessions: int, every: IntArray) -> None:
        self.fleet, self.types, self.sessions = fleet, types, sessions
        self.sizes = stage_sizes(fleet, types, sessions)
        counts = closed(every, self.sizes, fleet.n_blocks)
        used, have = counts @ np.arange(1, WIDEST + 1), np.array([len(own) for own in types.members])
        fits = (used <= have).all(axis=1)
        self.counts, self.used = counts[fits], used[fits]
        self.seconds = chain_seconds_of(self.counts, self.sizes, types, fleet.n_blocks)
        self.chains = np.where(self.used > 0, have // np.maximum(self.used, 1), fleet.n_servers).min(axis=1)

    def built(self, counts: IntArray) -> Spans:
        """Chains of a combination while there are servers, then the fastest that the rest can make."""
        spans: list[Range] = [(0, 0)] * self.fleet.n_servers
        queues = [own.tolist() for own in self.types.members]
        while True:
            left = np.array([len(queue) for queue in queues])
            if (counts @ np.arange(1, WIDEST + 1) > left).any():
                fits = (self.used <= left).all(axis=1)
                if not fits.any():
                    return tuple(spans)
                counts = self.counts[np.where(fits, self.seconds, np.inf).argmin()]
            cut = 0
            for t, width in product(range(len(queues)), range(1, WIDEST + 1)):
                for _ in range(int(counts[t, width - 1])):
                    size = int(self.sizes[t, width - 1])
                    start = min(cut, self.fleet.n_blocks - size)
                    for _ in range(width):
                        spans[queues[t].pop(0)] = (start, start + size)
                    cut = start + size


def stage_sizes(fleet: Fleet, types: Types, sessions: int) -> IntArray:
    """Most blocks (T, W) of a stage by type and number of servers."""
    sizes = np.zeros((len(types.members), WIDEST), dtype=np.int64)
    for t, own in enumerate(types.members):
        for width in range(1, WIDEST + 1):
            sizes[t, width - 1] = common_size(fleet, own[:width].tolist(), sessions)
    return sizes


def closed(every: IntArray, sizes: IntArray, n_blocks: int) -> IntArray:
    """Combinations whose stages exist, as many single servers of the slowest type added as the model needs."""
    counts: IntArray = every[(every * (sizes == 0)).sum(axis=(1, 2)) == 0].copy()
    left = n_blocks - (counts * sizes).sum(axis=(1, 2))
    if sizes[-1, 0] > 0:
        counts[:, -1, 0] = np.maximum(0, -(-left // sizes[-1, 0]))
        return counts
    whole: IntArray = counts[left <= 0]
    return whole


def chain_seconds_of(counts: IntArray, sizes: IntArray, types: Types, n_blocks: int) -> FloatArray:
    """Seconds of a chain of each combination; blocks that are held twice are spared to the slowest."""
    blocks = (counts * sizes).sum(axis=2)
    over = blocks.sum(axis=1) - n_blocks
    for t in range(blocks.shape[1] - 1, -1, -1):
        spared = np.minimum(over, blocks[:, t])
        blocks[:, t] -= spared
        over = over - spared
    seconds: FloatArray = blocks @ types.block_s + counts.sum(axis=2) @ types.session_s
    return seconds


def waiting_s(seconds: FloatArray, slots: IntArray, arrivals_per_s: float) -> FloatArray:
    """Mean response time in s of so many equal slots, about; infinite where they do not carry the arrivals.

    H. Sakasegawa, "An approximation formula L_q = a rho^b / (1 - rho)", Annals of the Institute of Statistical
    Mathematics 29, 1977, doi:10.1007/BF02532776; exact for one slot. It ranks, nothing more.
    """
    load = arrivals_per_s * seconds / slots
    with np.errstate(divide="ignore", invalid="ignore"):
        waits = load ** (np.sqrt(2.0 * (slots + 1)) - 1.0) / (slots * (1.0 - load))
    return np.where(load < 1.0, seconds * (1.0 + waits), np.inf)
