"""Replicated placements as the solvers see them: genomes in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from objectives.combine import Objective
from objectives.replicated.bounds import lower_bound
from objectives.replicated.kernels.scores import replicated_batch, replicated_data
from objectives.replicated.node_kinds import regions
from objectives.replicated.tables import FloatArray, IntArray, ReplicatedTables
from objectives.replicated.terms import ReplicatedTerms, ReplicatedViolation, replicated_terms, replicated_violation
from objectives.spans import Span
from placement.search.per_thread import PerThread
from placement.search.problem import Score, Spans
from placement.search.solver import Solver

from .kernels.replicated import replicated_from_keys
from .kernels.stages import read_stages
from .starts import constructive


@dataclass(frozen=True)
class ReplicatedProblem:
    """Every node holds one span of blocks or nothing, every block is held at least once.

    Attributes
    ----------
    tables : ReplicatedTables
    objective : Objective
        Over the terms of `combine.REPLICATED`.
    soft : float
        Part of the cost that the search loops see when all blocks are as scarce as the scarcest; it breaks ties
        between placements of equal flow. Scores never contain it.
    unaligned : float
        Probability of moves that ignore stages.
    """

    tables: ReplicatedTables
    objective: Objective
    soft: float = 0.0
    unaligned: float = 0.1

    @PerThread
    def data(self) -> Any:
        """The compiled kernels' data."""
        return replicated_data(self.tables, self.objective, self.soft, self.unaligned)

    @PerThread
    def whole(self) -> Any:
        """The same data with every term computed and nothing that breaks ties."""
        return replicated_data(self.tables, self.objective, whole=True)

    def loose(self, unaligned: float) -> ReplicatedProblem:
        """The same problem with another share of moves that ignore stages."""
        return replace(self, unaligned=unaligned)

    @property
    def compiled(self) -> bool:
        """Always: there are no custom objectives on replicated placements."""
        return True

    @property
    def round_scale(self) -> float:
        """How much smaller rounds must be than those of pipelines to take as long."""
        scale = min(1.0, (24 / self.tables.n_nodes) ** 2) if self.data.ordered else min(1.0, 24 / self.tables.n_nodes)
        return 0.4 * scale if self.data.want_served else scale

    @property
    def genome_size(self) -> int:
        """Length of a genome: starts, then stops."""
        return 2 * self.tables.n_nodes

    @property
    def n_keys(self) -> int:
        """Length of a vector of random keys: one per node, and the number of stages."""
        return self.tables.n_nodes + 1

    def starts(self) -> IntArray:
        """Constructive placements, each a row, the best first."""
        return constructive(self)

    def random(self, rng: np.random.Generator, n: int) -> IntArray:
        """Genomes of random ordered partitions into stages, each sized as is best for it."""
        genomes = np.zeros((n, self.genome_size), dtype=np.int64)
        for genome in genomes:
            replicated_from_keys(rng.random(self.n_keys), self.data, genome)
        return genomes

    def random_by_regions(self, rng: np.random.Generator, n: int) -> IntArray:
        """Genomes of random partitions into stages whose chains pass one region after the other."""
        region = regions(self.tables)
        genomes = np.zeros((n, self.genome_size), dtype=np.int64)
        for genome in genomes:
            order = rng.permutation(int(region.max(initial=0)) + 1)
            keys = np.empty(self.n_keys)
            rank = np.lexsort((rng.random(len(region)), order[region]))
            keys[rank] = (np.arange(len(region)) + 0.5) / len(region)
            keys[-1] = rng.random()
            replicated_from_keys(keys, self.data, genome)
        return genomes

    def to_keys(self, genome: IntArray) -> FloatArray:
        """Random keys of the genome's stages."""
        n = self.tables.n_nodes
        stage = np.zeros(n, dtype=np.int64)
        count = max(1, int(read_stages(genome, self.data, stage)))
        keys = np.append((stage + 0.5) / count, (count - 0.5) / n)
        keys[:n][stage < 0] = 1.25
        return keys.astype(np.float64)

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return costs (n,) and violations (n,)."""
        values, broken = self._terms(genomes, self.data)
        weights: FloatArray = self.data.weights
        costs: FloatArray = values @ weights
        return costs, broken

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return minimised terms (n, len(REPLICATED.names)) and violations (n,)."""
        return self._terms(genomes, self.whole)

    def _terms(self, genomes: IntArray, data: Any) -> tuple[FloatArray, FloatArray]:
        values = np.empty((len(genomes), len(self.objective.terms.names)))
        broken = np.empty(len(genomes))
        replicated_batch(np.ascontiguousarray(genomes), data, values, broken)
        return values, broken

    def encode(self, spans: Sequence[Span]) -> IntArray:
        """Spans to a genome."""
        genome = np.zeros(self.genome_size, dtype=np.int64)
        for span in spans:
            if genome[self.tables.n_nodes + span.node]:
                raise ValueError(f"Expected one span per node, got two of node {span.node}.")
            genome[[span.node, self.tables.n_nodes + span.node]] = span.start, span.stop
        return genome

    def decode(self, genome: IntArray) -> Spans:
        """Genome to spans in block order."""
        n = self.tables.n_nodes
        spans = [
            Span(i, a, b)
            for i, (a, b) in enumerate(zip(genome[:n].tolist(), genome[n:].tolist(), strict=True))
            if b > a
        ]
        return tuple(sorted(spans, key=lambda span: (span.start, span.stop, span.node)))

    def details(self, spans: Sequence[Span]) -> tuple[ReplicatedTerms, ReplicatedViolation]:
        """Every figure and every broken rule of a placement, by the reference code."""
        terms = replicated_terms(self.tables, spans)
        return terms, replicated_violation(self.tables, self.objective, spans, terms)

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code, not by the kernels."""
        terms, broken = self.details(spans)
        cost = sum(weight * terms.values[name] for name, weight in self.objective.weights.items())
        return Score(cost, broken.total, np.array([terms.values[name] for name in self.objective.terms.names]))

    def portfolio(self) -> Solver:
        """Packing for capacity, annealing for links and every other objective."""
        from .solvers.portfolio import ReplicatedPortfolio  # its parts need this class

        return ReplicatedPortfolio()

    def lower_bound(self) -> float:
        """Return a proven lower bound on the cost of every feasible placement; minus infinity when none is known."""
        return lower_bound(self.tables, self.objective)
