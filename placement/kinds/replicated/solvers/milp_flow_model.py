"""A mixed-integer model of replicated placements for max flow: spans, flow by position, links where they are narrow.

Groups are nodes that may be exchanged: where no link and no network card can ever bind, equal nodes are counted, not
named, so that they have no symmetry; elsewhere every node is a group of its own and equal ones are ordered by their
starts. Variables, for a group g and positions s < e:

    z[g, s, e]   nodes of g that hold the blocks s <= b < e (whole)
    f[g, p, e]   tokens/s that enter nodes of g at position p and leave at e
    h[i, j, p]   tokens/s from node i to node j at position p, where their link is narrow
    flow         tokens/s in all

    sum over s, e of z[g, s, e] <= nodes of g
    f[g, s, e] <= rate[g, e - s] z[g, s, e]                                          edges exact: entered at the start
    sum over p <= q of f[g, p, e] <= sum over s <= q of rate[g, e - s] z[g, s, e]    edges partial, for every q
    what leaves at p = what enters at p;  what enters at 0 = what leaves at L = flow

Under partial edges a card's bytes per token depend on who feeds its node; the model takes the fewer, so where cards are
narrow its optimum is a bound.

The span-and-flow form follows Y. Mei et al., "Helix", ASPLOS 2025, doi:10.1145/3669940.3707215, with flow kept by
position instead of by pair of nodes: it needs no big constants, and its relaxation is no weaker than the bound of
`objectives.flow_bounds`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from objectives.replicated.flow_bounds import capped_bound
from objectives.replicated.node_kinds import kinds
from objectives.replicated.tables import FloatArray, ReplicatedTables

TOKENS = 1000.0  # the flow is counted in thousandths of its bound


@dataclass(frozen=True)
class FlowLayout:
    """Groups, positions and narrow links of a problem.

    Attributes
    ----------
    tables : ReplicatedTables
    most : float
        Tokens/s that are proven never to be exceeded.
    """

    tables: ReplicatedTables
    most: float

    @cached_property
    def fastest(self) -> FloatArray:
        """Most tokens/s that ever pass each node (N,)."""
        fastest: FloatArray = np.minimum(self.tables.rate.max(axis=1), self.most)
        return fastest

    @cached_property
    def wide(self) -> bool:
        """True when no link and no network card can ever bind."""
        t, n, fast = self.tables, self.tables.n_nodes, self.fastest
        between, off = t.token_bytes + t.activation_bytes, ~np.eye(n, dtype=bool)
        band = t.bandwidth_bytes_per_s
        pairs = (band[:n, :n] / between >= np.minimum(fast[:, None], fast[None, :]))[off].all()
        ends = (band[n, :n] / t.token_bytes >= fast).all() and (band[:n, n] / t.token_bytes >= fast).all()
        cards = (t.nic_in / between >= fast).all() and (t.nic_out / between >= fast).all()
        return bool(pairs and ends and cards and min(t.client_in, t.client_out) / t.token_bytes >= self.most)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Nodes of each group, ascending."""
        if not self.wide:
            return tuple((node,) for node in range(self.tables.n_nodes))
        kind = kinds(self.tables, fine=False)
        return tuple(tuple(np.flatnonzero(kind == k).tolist()) for k in range(int(kind.max()) + 1))

    @cached_property
    def twins(self) -> tuple[tuple[int, int], ...]:
        """Neighbours among equal nodes that are groups of their own."""
        if self.wide:
            return ()
        kind = kinds(self.tables, fine=True)
        rows = [np.flatnonzero(kind == k).tolist() for k in range(int(kind.max()) + 1)]
        return tuple(pair for row in rows for pair in pairwise(row))

    @cached_property
    def hubs(self) -> tuple[int, ...]:
        """For each node a hub: between nodes of one hub no link ever binds."""
        t, fast = self.tables, self.fastest
        between, hubs, members = t.token_bytes + t.activation_bytes, [], list[list[int]]()
        room = t.bandwidth_bytes_per_s / between
        for i in range(t.n_nodes):
            fits = (
                number
                for number, row in enumerate(members)
                if all(min(room[i, j], room[j, i]) >= min(fast[i], fast[j]) for j in row)
            )
            number = next(fits, len(members))
            if number == len(members):
                members.append([])
            members[number].append(i)
            hubs.append(number)
        return tuple(hubs)

    @cached_property
    def narrow(self) -> tuple[tuple[int, int], ...]:
        """Pairs of nodes whose link has variables of its own."""
        n, band = self.tables.n_nodes, self.tables.bandwidth_bytes_per_s
        if self.wide:
            return ()
        return tuple((i, j) for i in range(n) for j in range(n) if self.hubs[i] != self.hubs[j] and band[i, j] > 0)

    def capacity(self, group: int, start: int, stop: int) -> float:
        """Tokens/s of one node of a group with such a span; 0 where it does not fit."""
        return min(float(self.tables.rate[self.groups[group][0], stop - start - 1]), self.most)

    def spans(self, group: int) -> Iterator[tuple[int, int]]:
        """Starts and stops that fit the nodes of a group."""
        blocks, rate = self.tables.n_blocks, self.tables.rate[self.groups[group][0]]
        fitting = [k for k in range(1, len(rate) + 1) if rate[k - 1] > 0]
        return ((s, s + k) for s in range(blocks) for k in fitting if s + k <= blocks)

    def entries(self, group: int) -> list[tuple[int, int]]:
        """Positions where flow may enter and leave nodes of a group."""
        found = list(self.spans(group))
        if not self.tables.partial:
            return found
        return sorted({(p, stop) for start, stop in found for p in range(start, stop)})

    @property
    def size(self) -> int:
        """Number of columns, roughly."""
        spans = sum(sum(1 for _ in self.spans(group)) for group in range(len(self.groups)))
        return (3 if self.tables.partial else 2) * spans + len(self.narrow) * (self.tables.n_blocks - 1)


def flow_layout(tables: ReplicatedTables) -> FlowLayout:
    """Groups and links under the quick bound."""
    return FlowLayout(tables, capped_bound(tables))


def build(room: FlowLayout) -> Any:
    """Return the Pyomo model; its objective, minimised, is minus the flow in `TOKENS` of the bound."""
    import pyomo.environ as pyo

    t, groups = room.tables, range(len(room.groups))
    model = pyo.ConcreteModel()
    spans = [(g, s, e) for g in groups for s, e in room.spans(g)]
    entries = [(g, p, e) for g in groups for p, e in room.entries(g)]
    model.z = pyo.Var(spans, domain=pyo.NonNegativeIntegers, bounds=lambda _, g, s, e: (0, len(room.groups[g])))
    model.f = pyo.Var(entries, bounds=(0, None))
    model.h = pyo.Var(room.narrow, range(1, t.n_blocks), bounds=(0, None))
    model.flow = pyo.Var(bounds=(0, TOKENS))
    model.rows = pyo.ConstraintList()
    _capacity(model, room, spans)
    _positions(model, room, entries)
    if not room.wide:
        _ends(model, room, entries)
        _links(model, room, entries)
    _rules(model, room, spans)
    model.goal = pyo.Objective(expr=-model.flow)
    return model


def _capacity(model: Any, room: FlowLayout, spans: list[tuple[int, int, int]]) -> None:
    unit = TOKENS / room.most
    by_group: dict[int, list[Any]] = {}
    by_stop: dict[tuple[int, int], list[int]] = {}
    for g, s, e in spans:
        by_group.setdefault(g, []).append(model.z[g, s, e])
        by_stop.setdefault((g, e), []).append(s)
        if not room.tables.partial:
            model.rows.add(model.f[g, s, e] <= room.capacity(g, s, e) * unit * model.z[g, s, e])
    for g, terms in by_group.items():
        model.rows.add(sum(terms) <= len(room.groups[g]))
    if not room.tables.partial:
        return
    for (g, e), starts in by_stop.items():
        for q in range(min(starts), e):
            entered = sum(model.f[g, p, e] for p in range(min(starts), q + 1))
            model.rows.add(entered <= sum(room.capacity(g, s, e) * unit * model.z[g, s, e] for s in starts if s <= q))


def _positions(model: Any, room: FlowLayout, entries: list[tuple[int, int, int]]) -> None:
    into: dict[int, list[Any]] = {p: [] for p in range(room.tables.n_blocks + 1)}
    out: dict[int, list[Any]] = {p: [] for p in range(room.tables.n_blocks + 1)}
    for g, p, e in entries:
        into[p].append(model.f[g, p, e])
        out[e].append(model.f[g, p, e])
    model.rows.add(sum(into[0]) == model.flow)
    model.rows.add(sum(out[room.tables.n_blocks]) == model.flow)
    for p in range(1, room.tables.n_blocks):
        if into[p] or out[p]:
            model.rows.add(sum(out[p]) == sum(into[p]))


def _ends(model: Any, room: FlowLayout, entries: list[tuple[int, int, int]]) -> None:
    """Network cards, and links of the client."""
    t, unit, n = room.tables, TOKENS / room.most, room.tables.n_nodes
    between, band = t.token_bytes + t.activation_bytes, t.bandwidth_bytes_per_s
    model.flow.setub(min(TOKENS, unit * t.client_out / t.token_bytes, unit * t.client_in / t.token_bytes))
    for i in range(n):
        own = [(p, e, model.f[g, p, e]) for g, p, e in entries if g == i]
        if not own:
            continue
        first, last = [f for p, _, f in own if p == 0], [f for _, e, f in own if e == t.n_blocks]
        inner, outer = [f for p, _, f in own if p > 0], [f for _, e, f in own if e < t.n_blocks]
        for ends, others, link, card in (
            (first, inner, band[n, i], t.nic_in[i]),
            (last, outer, band[i, n], t.nic_out[i]),
        ):
            model.rows.add(sum(ends) <= unit * float(link) / t.token_bytes)
            size = float(card) / between
            if size < room.fastest[i] or float(card) / t.token_bytes < room.fastest[i]:
                model.rows.add(sum(others) + t.token_bytes / between * sum(ends) <= unit * size)


def _links(model: Any, room: FlowLayout, entries: list[tuple[int, int, int]]) -> None:
    t, unit, hubs = room.tables, TOKENS / room.most, room.hubs
    between = t.token_bytes + t.activation_bytes
    alone = {hub for hub in hubs if hubs.count(hub) == 1}
    into: dict[tuple[int, int], list[Any]] = {}
    out: dict[tuple[int, int], list[Any]] = {}
    for i, p, e in entries:
        into.setdefault((i, p), []).append(model.f[i, p, e])
        out.setdefault((i, e), []).append(model.f[i, p, e])
    to: dict[int, list[int]] = {}
    come: dict[int, list[int]] = {}
    for i, j in room.narrow:
        to.setdefault(i, []).append(j)
        come.setdefault(j, []).append(i)
        room_for = unit * float(t.bandwidth_bytes_per_s[i, j]) / between
        model.rows.add(sum(model.h[i, j, p] for p in range(1, t.n_blocks)) <= room_for)
    for p in range(1, t.n_blocks):
        surplus: dict[int, list[Any]] = {}
        for i, hub in enumerate(hubs):
            leaves = sum(out.get((i, p), ())) - sum(model.h[i, j, p] for j in to.get(i, ()))
            enters = sum(into.get((i, p), ())) - sum(model.h[j, i, p] for j in come.get(i, ()))
            for side in (leaves, enters):
                if not isinstance(side, int):
                    model.rows.add(side == 0 if hub in alone else side >= 0)
            surplus.setdefault(hub, []).append(leaves - enters)
        for hub, terms in surplus.items():
            total = sum(terms)
            if hub not in alone and not isinstance(total, int):
                model.rows.add(total == 0)


def _rules(model: Any, room: FlowLayout, spans: list[tuple[int, int, int]]) -> None:
    t, blocks = room.tables, room.tables.n_blocks
    if t.min_replicas > 1:
        for b in range(blocks):
            model.rows.add(sum(model.z[g, s, e] for g, s, e in spans if s <= b < e) >= t.min_replicas)
    by_node: dict[int, list[Any]] = {}
    for g, s, e in spans:
        by_node.setdefault(g, []).append((s, model.z[g, s, e]))
    for i, j in room.twins:
        # Equal nodes by their starts, idle ones last.
        rank = [blocks - sum((blocks - s) * z for s, z in by_node.get(node, ())) for node in (i, j)]
        if by_node.get(i):
            model.rows.add(rank[0] <= rank[1])
