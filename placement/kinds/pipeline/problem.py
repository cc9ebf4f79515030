"""Pipelines as the solvers see them: genomes in, scores out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.combine import TERMS, Objective
from objectives.pipeline.bare import bare_bound
from objectives.pipeline.bounds import lower_bound
from objectives.pipeline.kernels.packed import most_stages, pipeline_data
from objectives.pipeline.kernels.scores import pipeline_batch
from objectives.pipeline.limits import Violation, violation
from objectives.pipeline.tables import CostTables
from objectives.pipeline.terms import Terms, cost, pipeline_terms
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.question.request import Request
from placement.search.per_thread import PerThread
from placement.search.problem import FloatArray, IntArray, Score, Spans
from placement.search.solver import Solver

from .custom import PythonData
from .kernels import pipeline  # noqa: F401  (registers the pipeline's kernels with the loops)
from .kernels.split import pipeline_from_keys
from .starts import constructive

QUICK_EFFORT = 1e7  # elementary steps of about a nanosecond
CustomObjective = Callable[[Terms], float]


@dataclass(frozen=True)
class PipelineProblem:
    """Every block on exactly one node.

    Attributes
    ----------
    tables : CostTables
    objective : Objective
    custom : callable or None
        A plain function of `Terms` to minimise instead of the objective's weighted terms.
    """

    tables: CostTables
    objective: Objective
    custom: CustomObjective | None = None

    @PerThread
    def packed(self) -> Any:
        """The compiled kernels' data."""
        return pipeline_data(self.tables, self.objective)

    @PerThread
    def data(self) -> Any:
        """What the search loops get: packed arrays, or an object with methods for a custom objective."""
        return self.packed if self.custom is None else PythonData(self, self.packed)

    @property
    def compiled(self) -> bool:
        """False when a custom objective in plain Python must be called for every score."""
        return self.custom is None

    @property
    def width(self) -> int:
        """Most stages that a genome holds."""
        return most_stages(self.tables)

    @property
    def genome_size(self) -> int:
        """Length of a genome."""
        return 1 + 2 * self.width

    @property
    def n_keys(self) -> int:
        """Length of a vector of random keys."""
        return self.tables.n_nodes

    @property
    def round_scale(self) -> float:
        """Rounds of pipelines are the measure of all others."""
        return 1.0

    def starts(self) -> IntArray:
        """Constructive placements, each a row, the best first."""
        return constructive(self)

    def random(self, rng: np.random.Generator, n: int) -> IntArray:
        """Genomes decoded from random node orders, a random part of the nodes idle."""
        keys = rng.random((n, self.n_keys)) / rng.uniform(0.3, 1.0, (n, 1))
        keys[np.arange(n), keys.argmin(axis=1)] = 0.0
        return self.from_keys(keys)

    def from_keys(self, keys: FloatArray) -> IntArray:
        """Decode rows of random keys."""
        genomes = np.zeros((len(keys), self.genome_size), dtype=np.int64)
        for row, genome in zip(keys, genomes, strict=True):
            pipeline_from_keys(np.ascontiguousarray(row), self.packed, genome)
        return genomes

    def to_keys(self, genome: IntArray) -> FloatArray:
        """Random keys whose order is that of the genome's stages; idle nodes get 1 and more."""
        n = self.tables.n_nodes
        keys: FloatArray = 1.0 + (np.arange(n, dtype=np.float64) + 1.0) / (n + 1.0) * 0.5
        nodes = list(dict.fromkeys(genome[1 : 1 + genome[0]].tolist()))
        keys[nodes] = (np.arange(len(nodes)) + 0.5) / (len(nodes) + 0.5) * 0.98
        return keys

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return costs (n,) and violations (n,)."""
        values, broken = self.terms(genomes)
        if self.custom is not None:
            costs = [self.custom(pipeline_terms(self.tables, self.decode(genome))) for genome in genomes]
            return np.array(costs, dtype=np.float64), broken
        return values @ self.packed.weights, broken

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return terms (n, len(TERMS)) in the order of `TERMS`, and violations (n,)."""
        values = np.empty((len(genomes), len(TERMS) + 2))
        broken = np.empty(len(genomes))
        pipeline_batch(np.ascontiguousarray(genomes), self.packed, values, broken)
        return values[:, : len(TERMS)], broken

    def encode(self, spans: Sequence[Span]) -> IntArray:
        """Spans in block order to a genome; neighbours on one node are merged."""
        merged: list[Span] = []
        for span in spans:
            if merged and merged[-1].node == span.node:
                merged[-1] = Span(span.node, merged[-1].start, span.stop)
            else:
                merged.append(span)
        if len(merged) > self.width:
            raise ValueError(f"Expected at most {self.width} stages, got {len(merged)}.")
        genome = np.zeros(self.genome_size, dtype=np.int64)
        genome[0] = len(merged)
        genome[1 : 1 + len(merged)] = [span.node for span in merged]
        genome[1 + self.width : 1 + self.width + len(merged)] = [span.stop for span in merged]
        return genome

    def decode(self, genome: IntArray) -> Spans:
        """Genome to spans in block order."""
        stages = int(genome[0])
        stops = genome[1 + self.width : 1 + self.width + stages].tolist()
        return tuple(
            Span(node, start, stop)
            for node, start, stop in zip(genome[1 : 1 + stages].tolist(), [0, *stops], stops, strict=False)
        )

    def details(self, spans: Sequence[Span]) -> tuple[Terms, Violation]:
        """Every figure and every broken rule of a placement, by the reference code."""
        terms = pipeline_terms(self.tables, spans)
        return terms, violation(self.tables, self.objective, spans, terms)

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code, not by the kernels."""
        terms, broken = self.details(spans)
        value = cost(self.objective, terms) if self.custom is None else float(self.custom(terms))
        return Score(value, broken.total, np.array([terms.values[name] for name in TERMS]))

    def portfolio(self) -> Solver:
        """Exact where it can prove, metaheuristics in turn."""
        from .solvers.portfolio import PipelinePortfolio  # its parts need this class

        return PipelinePortfolio()

    def lower_bound(self) -> float:
        """Return a proven lower bound on the cost of every feasible placement; minus infinity when none is known."""
        if self.custom is not None:
            return -np.inf
        return lower_bound(self.tables, self.objective)

    def bare_bound(self) -> float:
        """A bound at no effort: every block at its fastest node, all nodes busy all the time."""
        return -np.inf if self.custom is not None else bare_bound(self.tables, self.objective)

    def glances(self) -> IntArray:
        """A few plain splits: what the problem promises before anybody searches it."""
        tables = self.tables
        able = np.flatnonzero(tables.allowed.any(axis=1))
        order = able[np.argsort(tables.decode_s[0].mean(axis=1)[able], kind="stable")]
        most = min(len(order), tables.n_blocks, tables.max_nodes, self.width)
        counts = sorted({1, most, *(2**k for k in range(20) if 2**k < most)})
        need = np.concatenate([[0.0], (tables.weight_bytes + tables.kv_bytes).cumsum()])
        rows = []
        for count in counts:
            room = np.maximum(tables.capacity_bytes[order[:count]], 1.0).cumsum()
            stops = np.searchsorted(need, need[-1] * room / room[-1] - 1e-6)
            ends = np.unique(np.append(stops[:-1].clip(1, tables.n_blocks - 1), tables.n_blocks))
            rows.append(self.encode(_runs(order, ends.tolist())))
        return np.array(rows, dtype=np.int64)

    def quick_bound(self) -> float:
        """A looser bound, at a small part of the effort."""
        if self.custom is not None:
            return -np.inf
        return lower_bound(self.tables, self.objective, QUICK_EFFORT)


def _runs(order: IntArray, ends: Sequence[int]) -> list[Span]:
    starts = [0, *ends[:-1]]
    return [Span(int(node), start, stop) for node, start, stop in zip(order, starts, ends, strict=False)]


def problem_of(request: Request, custom: CustomObjective | None = None) -> PipelineProblem:
    """The problem of a request, its runtime's rules left aside."""
    return PipelineProblem(build_tables(request), request.objective, custom)
