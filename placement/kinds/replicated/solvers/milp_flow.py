"""The mixed-integer model of replicated placements at work: warm start, columns to spans and back, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from objectives.replicated.flow import max_flow, network
from objectives.spans import Span
from placement.search.highs import Columns, Event, FloatArray, Solving, columns
from placement.search.solver import IntArray, NotApplicableError, Proposal

from ..problem import ReplicatedProblem
from .milp_flow_model import TOKENS, FlowLayout, build, flow_layout
from .portfolio import ReplicatedPortfolio

MARGIN = 1e-7  # taken off a bound that is not yet the optimum, for rounding


def search_flow(
    problem: ReplicatedProblem, rng: np.random.Generator, start: IntArray, *, most_columns: int, warm_rounds: int
) -> Iterator[Proposal]:
    """Yield the metaheuristic's rounds, then incumbents and bounds until the optimum is proven.

    Parameters
    ----------
    most_columns : int
        Largest model.
    warm_rounds : int
        Rounds of the portfolio for replicated placements, whose best plan HiGHS begins from.
    """
    room = applicable(problem)
    if room.size > most_columns:
        raise NotApplicableError(f"the mixed-integer model would have {room.size} columns, more than {most_columns}")
    best = start
    for proposal in islice(ReplicatedPortfolio().search(problem, rng, start), warm_rounds):
        best = np.concatenate([best, proposal.genomes])
        yield proposal
    costs, broken = problem.evaluate(best)
    task = FlowTask(problem, room, best[int(np.lexsort((costs, broken))[0])])
    solving = Solving(task.make, presolve=True)
    try:
        for event in solving.events():
            yield task.proposal(event)
    finally:
        solving.stop()


def applicable(problem: ReplicatedProblem) -> FlowLayout:
    """Groups and links of a problem that the model covers; `NotApplicableError` otherwise."""
    objective, tables = problem.objective, problem.tables
    if objective.pareto or tuple(objective.weights) != ("flow",) or objective.limits:
        raise NotApplicableError(
            f"milp places replicas for the objective flow without limits, not for {objective.name}"
        )
    if tables.max_stages < min(tables.n_nodes, tables.n_blocks):
        raise NotApplicableError("milp has no rows for max_stages")
    room = flow_layout(tables)
    if not room.most > 0:
        raise NotApplicableError("no node holds a block")
    return room


@dataclass
class FlowTask:
    """Between genomes and columns."""

    problem: ReplicatedProblem
    room: FlowLayout
    start: IntArray
    index: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    best: float = np.inf

    def make(self) -> tuple[Columns, FloatArray | None]:
        """Build the model and the start's columns; in the thread."""
        made = columns(build(self.room))
        names = [(variable.parent_component().local_name, variable.index()) for variable in made.variables]
        self.index = {column: key for column, (name, key) in enumerate(names) if name == "z"}
        spans = self.problem.decode(self.start)
        score = self.problem.score(spans)
        if score.violation > 0:
            return made, None
        self.best = score.cost
        known = self.values(self.ordered(spans))
        return made, np.array([known.get((name, key), 0.0) for name, key in names])

    def ordered(self, spans: tuple[Span, ...]) -> list[Span]:
        """The same plan with equal nodes by their starts, idle ones last."""
        members: dict[int, list[int]] = {}
        head: dict[int, int] = {}
        for i, j in self.room.twins:
            head[j] = head.setdefault(i, i)
        for node, first in head.items():
            members.setdefault(first, []).append(node)
        queue = {first: sorted(nodes) for first, nodes in members.items()}
        renamed = []
        for span in sorted(spans, key=lambda span: span.start):
            node = queue[head[span.node]].pop(0) if span.node in head else span.node
            renamed.append(Span(node, span.start, span.stop))
        return renamed

    def values(self, spans: list[Span]) -> dict[tuple[str, Any], float]:
        """Variables of a plan and its max flow; what is not named is 0."""
        group = {node: number for number, nodes in enumerate(self.room.groups) for node in nodes}
        span_of = {span.node: span for span in spans}
        total, arcs = max_flow(network(self.problem.tables, spans))
        unit, narrow = TOKENS / self.room.most, set(self.room.narrow)
        found: dict[tuple[str, Any], float] = {("flow", None): total * unit}

        def add(name: str, key: Any, amount: float) -> None:
            found[name, key] = found.get((name, key), 0.0) + amount

        for span in spans:
            add("z", (group[span.node], span.start, span.stop), 1.0)
        for (tail, head), amount in arcs.items():
            if not isinstance(head, tuple) or head[1] != "in":
                continue
            node = int(head[0])
            origin = span_of[int(tail[0])] if isinstance(tail, tuple) else None
            position = origin.stop if origin else 0
            add("f", (group[node], position, span_of[node].stop), amount * unit)
            if origin and (origin.node, node) in narrow:
                add("h", (origin.node, node, position), amount * unit)
        return found

    def proposal(self, event: Event | None) -> Proposal:
        """What an event says, in genomes and costs."""
        none = self.start[None, :][:0]
        if event is None:
            return Proposal(none)
        weight, genomes = self.problem.objective.weights["flow"], none
        if event.values is not None:
            genome = self.genome(event.values)
            genomes = genome[None, :]
            score = self.problem.score(self.problem.decode(genome))
            if score.violation == 0:
                self.best = min(self.best, score.cost)
        if event.bound == np.inf:
            return Proposal(genomes, len(genomes), np.inf)
        flow = min(-event.bound, TOKENS) * self.room.most / TOKENS
        bound = weight / flow if flow > 0 else -np.inf
        if event.proven and abs(bound - self.best) <= MARGIN * self.best:
            return Proposal(genomes, len(genomes), self.best)
        return Proposal(genomes, len(genomes), bound * (1 - MARGIN))

    def genome(self, values: FloatArray) -> IntArray:
        """Spans of a solution, dealt to the nodes of each group."""
        free = [list(nodes) for nodes in self.room.groups]
        spans = []
        for column, (g, start, stop) in self.index.items():
            for _ in range(min(round(float(values[column])), len(free[g]))):
                spans.append(Span(free[g].pop(0), start, stop))
        return self.problem.encode(spans)
