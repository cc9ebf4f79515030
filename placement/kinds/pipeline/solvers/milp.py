"""Mixed-integer programming: the Pyomo model of `milp_model`, solved by HiGHS, begun from the best start.

Proofs are floating-point proofs within the tolerances of HiGHS (1e-9). For what it is better and worse at than
`exact`, see docs/milp.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from objectives.combine import RATES
from objectives.pipeline.additive import ADDITIVE
from objectives.spans import Span
from placement.search.highs import Columns, Event, FloatArray, Solving, columns
from placement.search.problem import Problem
from placement.search.solver import IntArray, NotApplicableError, Proposal

from ..problem import PipelineProblem
from .milp_model import Layout, build, layout

LINEAR = (*ADDITIVE, "bottleneck")
MARGIN = 1e-7  # taken off a bound that is not yet the optimum, for rounding


@dataclass(frozen=True)
class PipelineMilp:
    """Hyper-parameters.

    Attributes
    ----------
    most_hops : int
        Largest model: pairs of places times cuts.
    presolve : bool
        Let HiGHS simplify the model first. That cannot be interrupted.
    """

    most_hops: int = 150_000
    presolve: bool = False

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield incumbents and bounds until the optimum is proven."""
        pipeline = self.applicable(problem)
        room = layout(pipeline.tables)
        if room.hops > self.most_hops:
            raise NotApplicableError(f"the mixed-integer model would have {room.hops} hops, more than {self.most_hops}")
        # Imports of seconds, before anybody waits for an answer.
        yield Proposal(start[:1], 1)
        task = _Task(pipeline, room, start)
        solving = Solving(task.make, presolve=self.presolve)
        try:
            for event in solving.events():
                yield task.proposal(event)
        finally:
            solving.stop()

    def applicable(self, problem: Problem) -> PipelineProblem:
        """Return the problem when the model covers it."""
        if not isinstance(problem, PipelineProblem) or not problem.compiled or problem.objective.pareto:
            raise NotApplicableError("milp needs a pipeline problem with one built-in objective")
        objective, tables = problem.objective, problem.tables
        rates = RATES if tables.concurrency == 1 and tables.beside_s is None else ()
        for name in (*objective.weights, *objective.limits):
            if name not in (*LINEAR, *rates):
                several = " with several sequences in flight" if name in RATES else ""
                raise NotApplicableError(f"milp has no linear form of '{name}'{several} (it knows {', '.join(LINEAR)})")
        ensure_installed()
        return problem


def ensure_installed() -> None:
    """Raise `NotApplicableError` where a package is missing."""
    try:
        import highspy  # noqa: F401
        import pyomo.environ  # noqa: F401
    except ImportError as error:
        raise NotApplicableError(f"milp needs the packages pyomo and highspy ({error})") from None


@dataclass
class _Task:
    """Between genomes and columns."""

    problem: PipelineProblem
    room: Layout
    start: IntArray
    scale: float = 1.0
    index: dict[int, tuple[int, int]] = field(default_factory=dict)
    best: float = np.inf

    def make(self) -> tuple[Columns, FloatArray | None]:
        """Build the model and the start's columns; in the thread."""
        genome = self.start[0]
        score = self.problem.score(self.problem.decode(genome))
        self.scale = 1000.0 / score.cost if score.cost > 0 and np.isfinite(score.cost) else 1.0
        model = build(self.problem.tables, self.problem.objective, self.scale, self.problem.width)
        made = columns(model)
        names = [(variable.parent_component().local_name, variable.index()) for variable in made.variables]
        self.index = {column: key for column, (name, key) in enumerate(names) if name == "x"}
        if score.violation > 0:
            return made, None
        return made, self.values(names, self.problem.decode(genome))

    def values(self, names: Sequence[tuple[str, Any]], spans: Sequence[Span]) -> FloatArray | None:
        """Columns of a feasible plan."""
        spans = self.ordered(spans)
        places = self.placed(spans)
        owner = {block: v for span, v in zip(spans, places, strict=True) for block in range(span.start, span.stop)}
        used = {span.node for span in spans}
        peak = self.problem.details(spans)[0].values["bottleneck"]
        known: dict[str, Any] = {
            "x": lambda key: owner[key[1]] == key[0],
            "y": lambda key: owner[key[2] - 1] == key[0] and owner[key[2]] == key[1],
            "u": lambda key: key in used,
            "peak": lambda _: peak,
        }
        return np.array([float(known[name](key)) for name, key in names])

    def placed(self, spans: Sequence[Span]) -> list[int]:
        """The place of every span: a node's first one, or that of the tie that explains a further run."""
        number = {place: v for v, place in enumerate(self.room.places)}
        ties, earlier, chosen = self.problem.tables.ties.tolist(), list[Span](), []
        for span in spans:
            copy = 0
            if self.problem.tables.contiguous and any(other.node == span.node for other in earlier):
                held = {b for other in earlier if other.node == span.node for b in range(other.start, other.stop)}
                copy = next((t + 1 for t, (a, b) in enumerate(ties) if a in held and span.start <= b < span.stop), 0)
            chosen.append(number[span.node, copy])
            earlier.append(span)
        return chosen

    def ordered(self, spans: Sequence[Span]) -> list[Span]:
        """The same plan with equal nodes used in the model's order."""
        group: dict[int, int] = {}
        for i, j in self.room.twins:
            group[j] = group.setdefault(i, i)
        members: dict[int, list[int]] = {}
        for node, head in sorted(group.items()):
            members.setdefault(head, []).append(node)
        renamed: dict[int, int] = {}
        for span in spans:
            if span.node not in renamed:
                alone = span.node not in group
                renamed[span.node] = span.node if alone else members[group[span.node]].pop(0)
        return [Span(renamed[span.node], span.start, span.stop) for span in spans]

    def proposal(self, event: Event | None) -> Proposal:
        """What an event says, in genomes and costs."""
        if event is None:
            return Proposal(self.start[:0])
        genomes, bound = self.start[:0], event.bound / self.scale * (1 - MARGIN)
        if event.values is not None:
            genome = self.genome(event.values)
            genomes = genome[None, :]
            score = self.problem.score(self.problem.decode(genome))
            if score.violation == 0:
                self.best = min(self.best, score.cost)
        if event.proven and abs(event.bound / self.scale - self.best) <= MARGIN * abs(self.best):
            bound = self.best
        return Proposal(genomes, len(genomes), bound if np.isfinite(bound) or event.bound == np.inf else -np.inf)

    def genome(self, values: FloatArray) -> IntArray:
        """Spans of a solution: every block on the place that holds most of it."""
        share = np.zeros((len(self.room.places), self.problem.tables.n_blocks))
        for column, key in self.index.items():
            share[key] = values[column]
        owner = [self.room.places[int(v)][0] for v in share.argmax(axis=0)]
        return self.problem.encode([Span(node, block, block + 1) for block, node in enumerate(owner)])
