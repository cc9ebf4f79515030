"""Every pipeline of a tiny instance, scored one by one in plain Python: the referee of the other solvers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from objectives.pipeline.tables import CostTables
from objectives.spans import Span
from placement.search.problem import Problem, Spans
from placement.search.solver import IntArray, NotApplicableError, Proposal

from ..problem import PipelineProblem


@dataclass(frozen=True)
class Exhaustive:
    """Hyper-parameters.

    Attributes
    ----------
    most : int
        Most candidates that are looked at.
    """

    most: int = 5_000_000

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Score every sequence of nodes and every set of cuts; the last proposal carries the proven optimum."""
        if not isinstance(problem, PipelineProblem):
            raise NotApplicableError("exhaustive needs a pipeline problem")
        tables = problem.tables
        count = candidates(tables, problem.width)
        if count > self.most:
            raise NotApplicableError(f"exhaustive would look at {count} pipelines, more than {self.most}")
        best, chosen, seen = np.inf, start[:1], 0
        for spans in pipelines(tables, problem.width):
            seen += 1
            if allowed(tables, spans):
                score = problem.score(spans)
                if score.violation == 0 and score.cost < best:
                    best, chosen = score.cost, problem.encode(spans)[None, :]
            if seen == 200:
                yield Proposal(chosen, seen)
                seen = 0
        yield Proposal(chosen, seen, best)


def candidates(tables: CostTables, width: int) -> int:
    """Upper bound on the number of pipelines of at most `width` stages."""
    n, m = tables.n_nodes, tables.n_blocks
    total = 0
    for stages in range(1, min(width, m) + 1):
        sequences = n
        for k in range(1, stages):
            # Without ties, a node of a contiguous pipeline comes once.
            sequences *= max(0, n - k) if tables.contiguous and not len(tables.ties) else max(n - 1, 0)
        total += sequences * comb(m - 1, stages - 1)
    return total


def allowed(tables: CostTables, spans: Spans) -> bool:
    """Tell whether every block may be on its node; spares scoring what is hopeless."""
    return all(bool(tables.allowed[span.node, span.start : span.stop].all()) for span in spans)


def pipelines(tables: CostTables, width: int) -> Iterator[Spans]:
    """Yield every sequence of nodes, neighbours different, with every set of allowed cuts."""
    inner = [cut for cut in range(1, tables.n_blocks) if tables.cut_allowed[cut]]
    once = tables.contiguous and not len(tables.ties)
    for stages in range(1, min(width, len(inner) + 1) + 1):
        for nodes in sequences(tables.n_nodes, stages, once):
            for cuts in combinations(inner, stages - 1):
                starts, stops = (0, *cuts), (*cuts, tables.n_blocks)
                yield tuple(Span(*item) for item in zip(nodes, starts, stops, strict=True))


def sequences(n_nodes: int, length: int, once: bool) -> Iterator[tuple[int, ...]]:
    """Yield sequences of nodes: each at most once, or only neighbours different."""
    if length == 0:
        yield ()
        return
    for head in sequences(n_nodes, length - 1, once):
        for node in range(n_nodes):
            if not (node in head if once else head[-1:] == (node,)):
                yield (*head, node)
