"""Pipelines for OR-tools CP-SAT: a circuit through the nodes, a first and a last cut for each, whole numbers.

Vertices are places: a node, once more for every tie, and a few times where it may hold several runs. Variables:

    arc[v, w]         the pipeline hops from place v to w; the client is a vertex, idle places loop to themselves
    first[v, c]       the run of place v begins at cut c (one-hot);  last[v, c]: it ends there
    extra[v]          what the hop out of v costs beyond its cheapest cut

Costs are rounded down to whole units and memory is rounded in the plan's favour, so a bound of the model is a bound of
the problem; what only looks feasible is found out when our objective scores it. L. Perron, F. Didier, S. Gay, "The
CP-SAT-LP Solver", CP 2023, doi:10.4230/LIPIcs.CP.2023.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from objectives.combine import Objective
from objectives.pipeline.additive import ADDITIVE, Additive, step_cost, term_cost, weighted_cost
from objectives.spans import Span

UNITS = 1e9  # whole units of a typical cost
UNIT_BYTES = 1024.0
RUNS = 3  # of a node that may hold several: more are not tried
MOST_FLIGHTS = 24  # numbers of sequences in flight that are tried


@dataclass
class PipelineModel:
    """The model of one problem.

    Parameters
    ----------
    problem : PipelineProblem
    scale : float
        Units per unit of cost.

    Attributes
    ----------
    whole : bool
        True when every pipeline is in the model, so that its bound counts.
    """

    problem: Any
    scale: float

    def __post_init__(self) -> None:
        from ortools.sat.python import cp_model

        tables = self.problem.tables
        self.tables, self.model = tables, cp_model.CpModel()
        copies = 1 + len(tables.ties) if tables.contiguous else RUNS
        self.places = [(node, copy) for node in range(tables.n_nodes) for copy in range(copies)]
        self.whole = bool(tables.contiguous)
        self._circuit()
        self._runs()
        self._rules()
        self._goal(self.problem.objective)

    def _circuit(self) -> None:
        tables, model, client = self.tables, self.model, len(self.places)
        linked = tables.bandwidth_bytes_per_s > 0
        self.arc: dict[tuple[int, int], Any] = {}
        for v, (i, _) in enumerate(self.places):
            for w, (j, _) in enumerate(self.places):
                if v == w or (i != j and linked[i, j]):
                    self.arc[v, w] = model.new_bool_var("")
            if linked[tables.client, i]:
                self.arc[client, v] = model.new_bool_var("")
            if linked[i, tables.client]:
                self.arc[v, client] = model.new_bool_var("")
        model.add_circuit([(v, w, literal) for (v, w), literal in self.arc.items()])

    def _runs(self) -> None:
        tables, model, client, m = self.tables, self.model, len(self.places), self.tables.n_blocks
        allowed = [c for c in range(m + 1) if c in (0, m) or tables.cut_allowed[c]]
        self.first: list[dict[int, Any]] = []
        self.last: list[dict[int, Any]] = []
        begins, ends = [], []
        for v in range(client):
            idle = self.arc[v, v]
            for side in (self.first, self.last):
                side.append({c: model.new_bool_var("") for c in allowed})
                model.add_exactly_one(side[v].values())
            begins.append(sum(c * literal for c, literal in self.first[v].items()))
            ends.append(sum(c * literal for c, literal in self.last[v].items()))
            model.add_implication(idle, self.first[v][0])
            model.add_implication(idle, self.last[v][0])
            model.add(begins[v] < ends[v]).only_enforce_if(idle.negated())
        for (v, w), literal in self.arc.items():
            if v == client:
                model.add_implication(literal, self.first[w][0])
            elif w == client:
                model.add_implication(literal, self.last[v][m])
            elif v != w:
                model.add(ends[v] == begins[w]).only_enforce_if(literal)
        for block in range(m):
            model.add(sum(self._holds(v, block) for v in range(client)) == 1)

    def _holds(self, v: int, block: int) -> Any:
        """Whether place v holds a block: begun at or before it, not ended."""
        begun = sum(literal for c, literal in self.first[v].items() if c <= block)
        return begun - sum(literal for c, literal in self.last[v].items() if c <= block)

    def _sum(self, v: int, prefix: Any) -> Any:
        """Sum of a quantity over the blocks of place v, from its prefix sums in whole units."""
        return sum(int(prefix[c]) * literal for c, literal in self.last[v].items()) - sum(
            int(prefix[c]) * literal for c, literal in self.first[v].items()
        )

    def _of_node(self, node: int) -> list[int]:
        return [v for v, (owner, _) in enumerate(self.places) if owner == node]

    def _rules(self) -> None:
        tables, model = self.tables, self.model
        need = _prefix((tables.weight_bytes + tables.kv_bytes) / UNIT_BYTES)
        self.used = []
        for node in range(tables.n_nodes):
            places = self._of_node(node)
            idle = [self.arc[v, v] for v in places]
            self.used.append(model.new_bool_var(""))
            model.add_max_equality(self.used[node], [1 - literal for literal in idle])
            room = int(np.ceil(max(tables.capacity_bytes[node], 0.0) / UNIT_BYTES))
            model.add(sum(self._sum(v, need) for v in places) <= room)
            refused = _prefix((~tables.allowed[node]).astype(float))
            if refused[-1]:
                for v in places:
                    model.add(self._sum(v, refused) == 0)
            if tables.required[node]:
                model.add(self.used[node] == 1)
            for number, (a, b) in enumerate(tables.ties.tolist()):
                model.add(sum(self._holds(v, a) - self._holds(v, b) for v in places) == 0)
                if tables.contiguous:
                    model.add(self._holds(places[number + 1], b) == 1).only_enforce_if(idle[number + 1].negated())
        if tables.max_nodes < tables.n_nodes:
            model.add(sum(self.used) <= tables.max_nodes)

    def _cost(self, cost: Additive, scale: float) -> Any:
        """An additive cost in whole units, each coefficient rounded down."""
        tables, client = self.tables, len(self.places)
        total: Any = 0
        for v, (node, _) in enumerate(self.places):
            total += self._sum(v, _prefix(np.diff(cost.stage[node]) * scale))
        total += sum(int(fixed * scale) * used for fixed, used in zip(cost.fixed, self.used, strict=True))
        groups: dict[float, list[int]] = {}
        for cut in range(1, tables.n_blocks):
            groups.setdefault(float(cost.volume[cut]), []).append(cut)
        least = min(groups, default=0.0)
        extra = [self.model.new_int_var(0, 2**50, "") if len(groups) > 1 else 0 for _ in self.places]
        for (v, w), literal in self.arc.items():
            if v == w:
                continue
            i = tables.client if v == client else self.places[v][0]
            j = tables.client if w == client else self.places[w][0]
            if client in (v, w):
                cut = 0 if v == client else tables.n_blocks
                total += self._hop(cost, i, j, float(cost.volume[cut]), scale) * literal
                continue
            low = self._hop(cost, i, j, least, scale)
            total += low * literal
            for volume, cuts in groups.items():
                more = self._hop(cost, i, j, volume, scale) - low
                here = [self.last[v][c] for c in cuts if c in self.last[v]]
                if more > 0 and here:
                    self.model.add(extra[v] >= more * sum(here)).only_enforce_if(literal)
        return total + sum(extra)

    def _hop(self, cost: Additive, i: int, j: int, volume: float, scale: float) -> int:
        latency, bandwidth = self.tables.latency_s[i, j], self.tables.bandwidth_bytes_per_s[i, j]
        return int((cost.latency * latency + volume / bandwidth) * scale)

    def _peak(self, size: int, scale: float) -> Any:
        """The busiest stage or link of micro-batches ``batches[size]``, in whole units."""
        tables = self.tables
        peak = self.model.new_int_var(0, 2**50, "")
        for node in range(tables.n_nodes):
            busy = _prefix(tables.decode_s[size, node] * scale)
            self.model.add(sum(self._sum(v, busy) for v in self._of_node(node)) <= peak)
        links = replace(step_cost(tables, size), latency=0.0)
        client, least = len(self.places), float(links.volume[1:-1].min()) if tables.n_blocks > 1 else 0.0
        for (v, w), literal in self.arc.items():
            if v != w:
                i, j = (tables.client if x == client else self.places[x][0] for x in (v, w))
                volume = links.volume[0] if v == client else links.volume[-1] if w == client else least
                self.model.add(peak >= self._hop(links, i, j, float(volume), scale) * literal)
        return peak

    def _goal(self, objective: Objective) -> None:
        tables, scale = self.tables, self.scale
        total = self._cost(weighted_cost(tables, objective.weights), scale)
        weights: Mapping[str, float] = objective.weights
        if weights.get("bottleneck"):
            total += self._peak(0, scale * weights["bottleneck"])
        if weights.get("decode_rate"):
            total += self._throughput(scale * weights["decode_rate"])
        for name, most in objective.limits.items():
            if name in ADDITIVE:
                self.model.add(self._cost(term_cost(tables, name), UNITS / most) <= int(UNITS))
            elif name == "bottleneck":
                self.model.add(self._peak(0, UNITS / most) <= int(UNITS))
            else:
                self.model.add(self._throughput(UNITS * most) <= int(UNITS) + 1)
        self.model.minimize(total)

    def _throughput(self, scale: float) -> Any:
        """Seconds per token: for a micro-batch size and a number of sequences in flight, the larger of both limits."""
        tables, model = self.tables, self.model
        flights = np.unique(np.rint(np.linspace(1, tables.concurrency, MOST_FLIGHTS)).astype(int)).tolist()
        self.whole = self.whole and len(flights) == tables.concurrency
        value = model.new_int_var(0, 2**50, "")
        flight = {count: model.new_bool_var("") for count in flights}
        sizes = [k for k, batch in enumerate(tables.batches.tolist()) if batch <= tables.concurrency]
        chosen = {k: model.new_bool_var("") for k in sizes}
        model.add_exactly_one(flight.values())
        model.add_exactly_one(chosen.values())
        for count, literal in flight.items():
            need = _prefix((tables.weight_bytes + count * tables.kv_bytes) / UNIT_BYTES)
            for node in range(tables.n_nodes if count > 1 else 0):
                room = int(np.ceil(max(tables.capacity_bytes[node], 0.0) / UNIT_BYTES))
                model.add(sum(self._sum(v, need) for v in self._of_node(node)) <= room).only_enforce_if(literal)
        for k, literal in chosen.items():
            step = model.new_int_var(0, 2**50, "")
            model.add(step >= self._cost(step_cost(tables, k), scale))
            model.add(value >= self._peak(k, scale / float(tables.batches[k]))).only_enforce_if(literal)
            for count, other in flight.items():
                if count < tables.batches[k]:
                    model.add_bool_or([literal.negated(), other.negated()])
                else:
                    model.add(count * (value + 1) >= step).only_enforce_if([literal, other])
        return value

    def spans(self, value: Any) -> list[Span]:
        """The plan of a solution; `value` reads a literal."""
        found = []
        for v, (node, _) in enumerate(self.places):
            if not value(self.arc[v, v]):
                sides = (self.first[v], self.last[v])
                start, stop = (next(c for c, literal in side.items() if value(literal)) for side in sides)
                found.append(Span(node, start, stop))
        return sorted(found, key=lambda span: span.start)


def _prefix(values: Any) -> Any:
    """Prefix sums of values rounded down to whole units."""
    return np.concatenate([[0], np.cumsum(np.floor(values).astype(np.int64))])
