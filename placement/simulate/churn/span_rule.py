"""Our rule for spans: room for sessions on every block, evenly, and a move only when its gain lasts and pays.

A server of m blocks with s cache slots carries s/m sessions on each of them. A layout is valued twice: as a fluid, by
the soft minimum over the blocks of the sessions that fit and by the mean seconds of a session; and by the response time
of the greedy chains (GCA and the birth-death bounds of arXiv:2604.14993) that it really has. Spans begin and end at a
few cuts of the model, since chains through spans whose ends meet leave the fewest slots idle.

The simulated days, and the servers of a live swarm, run this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from objectives.sessions.chains import Fleet, FloatArray, IntArray
from objectives.spans import Range, count_holders, lacking

Spans = Mapping[int, Range]
WAIT_S, HOPS = 2000.0, 4  # a response beyond WAIT_S and a chain of HOPS servers is as bad as any
POWER = 4  # of the soft minimum


@dataclass(frozen=True)
class SpanRule:
    """What a layout is worth, who goes where, and which move pays.

    Attributes
    ----------
    least, most : float
        Sessions that a server keeps room for on each of its blocks.
    parts : int
        The cuts at which spans begin and end divide the model into so many parts.
    soft : float
        Sessions added to every block before the soft minimum is taken.
    chains : float
        Weight of the chains' response time beside the fluid value; both are logarithms.
    worth : float
        Gain that any move must bring.
    weight : float
        Gain that reloading the whole model must bring beside that.
    lasting_s : float
        Seconds for which a move must have been worth it: most holes close when the next server comes.
    overload : float
        Price of arrivals beyond what the chains carry, per part of that.
    """

    least: float = 8.0
    most: float = 20.0
    parts: int = 14
    soft: float = 2.0
    chains: float = 2.0
    worth: float = 0.4
    weight: float = 0.1
    lasting_s: float = 600.0
    overload: float = 3.0

    def options(self, fleet: Fleet, server: int, size: int | None = None) -> IntArray:
        """Spans (n, 2) that a server may take: of `size` blocks if that is given, else between two cuts."""
        n_blocks = fleet.n_blocks
        if size is not None:
            starts = np.arange(n_blocks - size + 1)
            return np.stack([starts, starts + size], axis=1)
        cuts = np.unique([*range(0, n_blocks, max(1, round(n_blocks / self.parts))), n_blocks])
        pairs = np.array([(a, b) for a in cuts for b in cuts if a < b], dtype=np.int64)
        room = sessions(fleet, server, pairs)
        for good in ((room >= self.least) & (room <= self.most), room >= 1.0):
            if good.any():
                return pairs[good]
        return np.array([(a, a + 1) for a in range(n_blocks)], dtype=np.int64)

    def fluid(
        self, fleet: Fleet, spans: Spans, server: int | None = None, options: IntArray | None = None
    ) -> FloatArray:
        """Logarithm of the seconds per session of a layout seen as a fluid, for each option of a server."""
        room, work = np.zeros(fleet.n_blocks), np.zeros(fleet.n_blocks)
        for j, (start, stop) in spans.items():
            if j != server:
                carried = sessions(fleet, j, np.array([[start, stop]]))[0]
                room[start:stop] += carried
                work[start:stop] += carried * (fleet.block_s[j] + fleet.session_s[j] / (stop - start))
        rooms, works = room[None, :], work[None, :]
        if server is not None and options is not None:
            blocks, sizes = np.arange(fleet.n_blocks), options[:, 1] - options[:, 0]
            inside = (blocks >= options[:, :1]) & (blocks < options[:, 1:])
            extra = inside * sessions(fleet, server, options)[:, None]
            rooms = rooms + extra
            works = works + extra * (fleet.block_s[server] + fleet.session_s[server] / sizes)[:, None]
        unheld = float(np.median(fleet.block_s + 10.0 * fleet.session_s / fleet.n_blocks))
        seconds = np.where(rooms > 0, works / np.maximum(rooms, 1e-9), unheld).sum(axis=1)
        values: FloatArray = np.log((1.0 / (rooms + self.soft) ** POWER).mean(axis=1)) / POWER + np.log(seconds)
        return values

    def response(self, fleet: Fleet, genomes: IntArray) -> FloatArray:
        """Logarithm of the response time of the greedy chains, at most that of a very long wait; more for a hole."""
        # A Petals client imports this file beside the servers' functions, and needs no compiler.
        from objectives.sessions.kernels.scores import RESPONSE, chain_data, chain_scores  # so it comes here

        costs, broken = chain_scores(genomes, chain_data(fleet, RESPONSE))
        top = fleet.session_s.mean() * HOPS + fleet.block_s.mean() * fleet.n_blocks + WAIT_S
        served = np.log(np.clip(costs, 1e-9, top)) + self.overload * broken
        return np.where(broken >= 1, np.log(top) + 3.0 + broken, served)

    def join(self, fleet: Fleet, spans: Spans, server: int, size: int | None = None) -> Range:
        """Span of a server that comes; while the swarm is not whole, the fluid value alone counts."""
        others = {j: span for j, span in spans.items() if j != server}
        whole = count_holders(fleet.n_blocks, others.values()).all()
        options = self.options(fleet, server, size)
        values = self.fluid(fleet, others, server, options)
        if whole:
            values = values + self.chains * self.response(fleet, genomes(fleet, others, server, options))
        start, stop = options[int(np.argmin(values))].tolist()
        return start, stop

    def move(
        self, fleet: Fleet, spans: Spans, sizes: Mapping[int, int] | None = None, movers: Iterable[int] | None = None
    ) -> tuple[int, Range] | None:
        """The move that gains most beyond its price, and None when none is worth it.

        Parameters
        ----------
        sizes : mapping of int to int, optional
            Blocks of servers whose span keeps its length.
        movers : iterable of int, optional
            Who may move; everybody.
        """
        if not spans:
            return None
        found: list[tuple[int, Range]] = [(-1, (0, 0))]
        values, rows = [float(self.fluid(fleet, spans)[0])], [genomes(fleet, spans)]
        for j in sorted(spans if movers is None else movers):
            options = self.options(fleet, j, (sizes or {}).get(j))
            load = np.array([lacking((a, b), spans[j]) for a, b in options.tolist()])
            prices = self.worth + self.weight * load / fleet.n_blocks
            value = self.fluid(fleet, spans, j, options) + prices
            best = [k for k in np.argsort(value, kind="stable")[:6] if tuple(options[k].tolist()) != spans[j]]
            found += [(j, (int(options[k, 0]), int(options[k, 1]))) for k in best]
            values += value[best].tolist()
            rows.append(genomes(fleet, spans, j, options[best]))
        total, table = np.array(values), np.concatenate(rows)
        near = np.unique(np.append(np.argsort(total, kind="stable")[:40], 0))
        best_k = int(near[np.argmin(total[near] + self.chains * self.response(fleet, table[near]))])
        return None if best_k == 0 else found[best_k]


def sessions(fleet: Fleet, server: int, spans: IntArray) -> FloatArray:
    """Sessions for which a server keeps room on each block of spans (n, 2); not negative."""
    sizes = spans[:, 1] - spans[:, 0]
    room = (fleet.memory_bytes[server] / sizes - fleet.block_bytes) / fleet.cache_bytes
    return np.asarray(np.maximum(room, 0.0), dtype=np.float64)


def genomes(fleet: Fleet, spans: Spans, server: int | None = None, options: IntArray | None = None) -> IntArray:
    """Genomes (n, 2 J) of `objectives.sessions.kernels.scores`: the layout, once for each option of a server."""
    n = fleet.n_servers
    row = np.zeros(2 * n, dtype=np.int64)
    for j, (start, stop) in spans.items():
        row[j], row[n + j] = start, stop - start
    if server is None or options is None:
        return row[None, :]
    rows = np.repeat(row[None, :], len(options), axis=0)
    rows[:, server], rows[:, n + server] = options[:, 0], options[:, 1] - options[:, 0]
    return rows
