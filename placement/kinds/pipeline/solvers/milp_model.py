"""A mixed-integer model of pipelines: a path through (block, node) under budgets of the nodes.

Places are nodes; in contiguous pipelines with ties a node has one more place for every tie, for the run that holds the
later of the tied blocks apart from the earlier one. Variables:

    x[v, b]      block b is on place v (binary)
    y[v, w, c]   the pipeline hops from v to w at cut c (follows from x)
    u[i]         node i is used
    peak         the bottleneck, where the objective or a limit wants it

    x[w, c] - x[w, c - 1] = hops into w at c - hops out of w at c          a path, block after block
    sum of bytes on node i <= capacity[i] * u[i]                           memory
    first block on w + hops into w <= u[i]                                 one run, where contiguous

Without budgets the path is a shortest path, so the linear relaxation is as strong as the Lagrangian bound that prices
memory and runs. Of nodes that may be exchanged, those used come first, in the order in which the pipeline meets them.

The flow form follows L. R. Ford, D. R. Fulkerson, "Flows in Networks", Princeton, 1962; ordering equal machines against
symmetry H. D. Sherali, J. C. Smith, Management Science 47(10), 2001, doi:10.1287/mnsc.47.10.1396.10265.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from objectives.combine import RATES, Objective
from objectives.pipeline.additive import ADDITIVE, Additive, round_cost, term_cost, weighted_cost
from objectives.pipeline.tables import CostTables

ROOM = 1e-12  # an exact fit is a fit, as in `objectives.limits`


@dataclass(frozen=True)
class Layout:
    """Places, hops and groups of equal nodes of a problem."""

    places: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    cuts: tuple[int, ...]
    twins: tuple[tuple[int, int], ...]

    @property
    def hops(self) -> int:
        """Number of hop variables: the size of the model."""
        return len(self.pairs) * len(self.cuts)


def layout(tables: CostTables) -> Layout:
    """Places and hops that are possible at all."""
    copies = 1 + (len(tables.ties) if tables.contiguous else 0)
    places = tuple((node, copy) for node in range(tables.n_nodes) for copy in range(copies))
    linked = tables.bandwidth_bytes_per_s > 0
    pairs = tuple(
        (v, w) for v, (i, _) in enumerate(places) for w, (j, _) in enumerate(places) if i != j and linked[i, j]
    )
    cuts = tuple(int(cut) for cut in range(1, tables.n_blocks) if tables.cut_allowed[cut])
    return Layout(places, pairs, cuts, twins(tables))


def twins(tables: CostTables) -> tuple[tuple[int, int], ...]:
    """Neighbours in groups of nodes that may be exchanged without changing any cost."""
    pairs, grouped = [], set()
    for i in range(tables.n_nodes):
        if i in grouped:
            continue
        last = i
        for j in range(i + 1, tables.n_nodes):
            if j not in grouped and _exchangeable(tables, i, j):
                pairs.append((last, j))
                grouped.add(j)
                last = j
    return tuple(pairs)


def _exchangeable(tables: CostTables, i: int, j: int) -> bool:
    order = np.arange(tables.n_nodes + 1)
    order[[i, j]] = j, i
    rows = (
        tables.capacity_bytes,
        tables.price_per_hour,
        tables.power_w,
        tables.required,
        tables.prefill_s,
        tables.allowed,
    )
    square = (tables.latency_s, tables.bandwidth_bytes_per_s)
    off = ~np.eye(tables.n_nodes + 1, dtype=bool)
    return (
        all(np.array_equal(row[i], row[j]) for row in rows)
        and np.array_equal(tables.decode_s[:, i], tables.decode_s[:, j])
        and all(np.array_equal(links[np.ix_(order, order)][off], links[off]) for links in square)
    )


@dataclass(frozen=True)
class Costs:
    """An additive cost as coefficients of x, y and u."""

    tables: CostTables
    cost: Additive

    def block(self, node: int, block: int) -> float:
        """Of a block on a node, the client's hops included."""
        value = float(self.cost.stage[node, block + 1] - self.cost.stage[node, block])
        client = self.tables.client
        if block == 0:
            value += self.hop(client, node, 0)
        if block == self.tables.n_blocks - 1:
            value += self.hop(node, client, self.tables.n_blocks)
        return value

    def hop(self, i: int, j: int, cut: int) -> float:
        """Of a hop."""
        bandwidth = float(self.tables.bandwidth_bytes_per_s[i, j])
        seconds = float(self.cost.volume[cut]) / bandwidth if bandwidth > 0 else 0.0
        return seconds + self.cost.latency * float(self.tables.latency_s[i, j])


def build(tables: CostTables, objective: Objective, scale: float, stages: int) -> Any:
    """Return the Pyomo model; its objective is the cost times `scale`.

    Parameters
    ----------
    stages : int
        Most stages that a plan may have.
    """
    import pyomo.environ as pyo

    room = layout(tables)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(len(room.places)), range(tables.n_blocks), domain=pyo.Binary)
    model.y = pyo.Var(room.pairs, room.cuts, bounds=(0, 1))
    model.u = pyo.Var(range(tables.n_nodes), domain=pyo.Binary)
    model.peak = pyo.Var(bounds=(0, None))
    model.rows = pyo.ConstraintList()
    _path(model, tables, room)
    _memory(model, tables, room)
    _rules(model, tables, room, stages)
    if "bottleneck" in objective.weights or "bottleneck" in objective.limits:
        _bottleneck(model, tables, room)
    cost = weighted_cost(tables, objective.weights)
    for name in RATES:
        if name in objective.weights:
            cost = cost + _alone(tables, name) * objective.weights[name]
    total = _sum(model, tables, room, cost)
    total = total + objective.weights.get("bottleneck", 0.0) * model.peak
    model.goal = pyo.Objective(expr=scale * total)
    for name, most in objective.limits.items():
        if name in ADDITIVE:
            model.rows.add(_sum(model, tables, room, term_cost(tables, name)) / most <= 1 + ROOM)
        elif name in RATES:
            model.rows.add(_sum(model, tables, room, _alone(tables, name)) * most <= 1 + ROOM)
        else:
            model.rows.add(model.peak / most <= 1 + ROOM)
    return model


def _alone(tables: CostTables, name: str) -> Additive:
    """Seconds per token where one sequence is in flight: those of its round trip, which no node is busy longer."""
    return round_cost(tables, tables.rounds(name), (0, 0), 1)


def _sum(model: Any, tables: CostTables, room: Layout, cost: Additive) -> Any:
    from pyomo.core.expr import LinearExpression

    costs = Costs(tables, cost)
    terms = [
        (costs.block(node, block), model.x[v, block])
        for v, (node, _) in enumerate(room.places)
        for block in range(tables.n_blocks)
    ]
    terms += [
        (costs.hop(room.places[v][0], room.places[w][0], cut), model.y[v, w, cut])
        for v, w in room.pairs
        for cut in room.cuts
    ]
    terms += [(float(cost.fixed[node]), model.u[node]) for node in range(tables.n_nodes)]
    used = [(factor, variable) for factor, variable in terms if factor != 0]
    return LinearExpression(
        constant=0.0, linear_coefs=[factor for factor, _ in used], linear_vars=[variable for _, variable in used]
    )


def _path(model: Any, tables: CostTables, room: Layout) -> None:
    into: dict[int, list[int]] = {v: [] for v in range(len(room.places))}
    out: dict[int, list[int]] = {v: [] for v in range(len(room.places))}
    for v, w in room.pairs:
        out[v].append(w)
        into[w].append(v)
    model.rows.add(sum(model.x[v, 0] for v in into) == 1)
    for cut in range(1, tables.n_blocks):
        for v in into:
            change = model.x[v, cut] - model.x[v, cut - 1]
            if not tables.cut_allowed[cut]:
                model.rows.add(change == 0)
                continue
            leaving = sum(model.y[v, w, cut] for w in out[v])
            model.rows.add(change == sum(model.y[w, v, cut] for w in into[v]) - leaving)
            if out[v]:
                model.rows.add(leaving <= model.x[v, cut - 1])
    for v, (node, copy) in enumerate(room.places):
        for block in range(tables.n_blocks):
            if not tables.allowed[node, block] or (copy and block == tables.ties[copy - 1, 0]):
                model.x[v, block].fix(0)
        if tables.bandwidth_bytes_per_s[tables.client, node] <= 0:
            model.x[v, 0].fix(0)
        if tables.bandwidth_bytes_per_s[node, tables.client] <= 0:
            model.x[v, tables.n_blocks - 1].fix(0)
        if tables.contiguous:
            entries = model.x[v, 0] + sum(model.y[w, v, cut] for w in into[v] for cut in room.cuts)
            later = int(tables.ties[copy - 1, 1]) if copy else 0
            model.rows.add(entries <= (model.x[v, later] if copy else model.u[node]))


def _memory(model: Any, tables: CostTables, room: Layout) -> None:
    need = tables.weight_bytes + tables.kv_bytes
    for node in range(tables.n_nodes):
        places = [v for v, (owner, _) in enumerate(room.places) if owner == node]
        capacity = max(float(tables.capacity_bytes[node]) * (1 + ROOM) + 1e-6, 0.0)
        size = max(capacity, float(need.max()), 1.0)
        held = sum((float(need[b]) / size) * model.x[v, b] for v in places for b in range(tables.n_blocks))
        model.rows.add(held <= capacity / size * model.u[node])
        for b in range(tables.n_blocks):
            if need[b] > capacity:
                for v in places:
                    model.x[v, b].fix(0)
            elif not tables.contiguous or len(places) > 1:
                model.rows.add(sum(model.x[v, b] for v in places) <= model.u[node])


def _rules(model: Any, tables: CostTables, room: Layout, stages: int) -> None:
    n, blocks = tables.n_nodes, tables.n_blocks
    places = {node: [v for v, (owner, _) in enumerate(room.places) if owner == node] for node in range(n)}
    for node in range(n):
        if tables.required[node]:
            model.u[node].fix(1)
        model.rows.add(model.u[node] <= sum(model.x[v, b] for v in places[node] for b in range(blocks)))
        for a, b in tables.ties.tolist():
            model.rows.add(sum(model.x[v, a] for v in places[node]) == sum(model.x[v, b] for v in places[node]))
    if tables.max_nodes < n:
        model.rows.add(sum(model.u[node] for node in range(n)) <= tables.max_nodes)
    if stages < blocks and not tables.contiguous:
        model.rows.add(sum(model.y[v, w, cut] for v, w in room.pairs for cut in room.cuts) <= stages - 1)
    for i, j in room.twins:
        model.rows.add(model.u[i] >= model.u[j])
        if tables.contiguous and not len(tables.ties):
            # The first of two equal nodes is entered earlier.
            entry = [
                sum(cut * model.y[v, node, cut] for v, w in room.pairs if w == node for cut in room.cuts)
                for node in (i, j)
            ]
            model.rows.add(entry[0] <= entry[1] + blocks * (1 - model.u[j]))
            model.rows.add(model.x[j, 0] == 0)


def _bottleneck(model: Any, tables: CostTables, room: Layout) -> None:
    seconds = Costs(tables, replace(term_cost(tables, "latency"), latency=0.0))
    for node in range(tables.n_nodes):
        busy = tables.decode_s[0, node]
        places = [v for v, (owner, _) in enumerate(room.places) if owner == node]
        model.rows.add(
            sum(float(busy[b]) * model.x[v, b] for v in places for b in range(tables.n_blocks)) <= model.peak
        )
        for block, hop in (
            (0, (tables.client, node, 0)),
            (tables.n_blocks - 1, (node, tables.client, tables.n_blocks)),
        ):
            if seconds.hop(*hop) > 0:
                model.rows.add(seconds.hop(*hop) * sum(model.x[v, block] for v in places) <= model.peak)
    between: dict[tuple[int, int], list[Any]] = {}
    for v, w in room.pairs:
        i, j = room.places[v][0], room.places[w][0]
        between.setdefault((i, j), []).extend(seconds.hop(i, j, cut) * model.y[v, w, cut] for cut in room.cuts)
    for terms in between.values():
        if terms:
            model.rows.add(sum(terms) <= model.peak)
