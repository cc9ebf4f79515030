"""Disjoint chains as the solvers see them: a small search space that holds good placements, to begin from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from objectives.spans import Span
from placement.search.problem import FloatArray, IntArray, Score, Spans

from .problem import SessionsProblem


@dataclass(frozen=True)
class GroupProblem:
    """Servers in groups, a chain for each; scored by these chains alone."""

    chains: SessionsProblem

    @cached_property
    def data(self):  # type: ignore[no-untyped-def]
        """What the compiled loops read."""
        from .kernels.disjoint import group_data

        return group_data(self.chains.fleet, self.chains.data)

    @property
    def objective(self):  # type: ignore[no-untyped-def]
        """That of the chains."""
        return self.chains.objective

    @property
    def compiled(self) -> bool:
        """Scores are compiled."""
        return True

    @property
    def genome_size(self) -> int:
        """Length of a genome."""
        return self.chains.fleet.n_servers + int(self.data.groups)

    @property
    def n_keys(self) -> int:
        """Length of a vector of random keys."""
        return self.genome_size

    def starts(self) -> IntArray:
        """Groups as GBP-CR would fill them for a number of sessions, and servers dealt out in order of speed."""
        fleet, groups, held = self.chains.fleet, int(self.data.groups), self.data.held
        rows = []
        for sessions in np.unique(np.geomspace(1, held.shape[1] - 1, 40).astype(int)):
            blocks = np.maximum(held[:, sessions], 1)
            row = np.full(self.genome_size, sessions if self.chains.response else held.shape[1] - 1, dtype=np.int64)
            group, filled = 0, 0
            for j in np.argsort(fleet.session_s / blocks + fleet.block_s, kind="stable"):
                row[j] = group % groups
                filled += held[j, sessions]
                if filled >= fleet.n_blocks:
                    group, filled = group + 1, 0
            rows.append(row)
        for count in range(1, groups + 1):
            row = np.full(self.genome_size, held.shape[1] - 1, dtype=np.int64)
            row[self.data.order] = np.arange(fleet.n_servers) % count
            rows.append(row)
        genomes = np.stack(rows)
        costs, broken = self.evaluate(genomes)
        return genomes[np.lexsort((costs, broken))][:8]

    def random(self, rng: np.random.Generator, n: int) -> IntArray:
        """Random groups."""
        from .kernels.disjoint import group_from_keys

        rows = np.zeros((n, self.genome_size), dtype=np.int64)
        for row in rows:
            group_from_keys(rng.random(self.n_keys), self.data, row)
        return rows

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return costs and violations (n,)."""
        from .kernels.disjoint import group_batch

        costs, broken = np.empty(len(genomes)), np.empty(len(genomes))
        group_batch(np.ascontiguousarray(genomes), self.data, costs, broken)
        return costs, broken

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """One term: the cost."""
        costs, broken = self.evaluate(genomes)
        return costs[:, None], broken

    def to_keys(self, genome: IntArray) -> FloatArray:
        """Keys that decode to this genome."""
        n = self.chains.fleet.n_servers
        return np.concatenate([(genome[:n] + 0.5) / self.data.groups, (genome[n:] + 0.5) / self.data.held.shape[1]])

    def encode(self, spans: Sequence[Span]) -> IntArray:
        """Not every placement is made of disjoint chains, so spans have no genome here."""
        raise NotImplementedError("spans are not made of disjoint chains")

    def decode(self, genome: IntArray) -> Spans:
        """Genome to the spans of servers that hold something."""
        return self.chains.decode(self.spans_genome(genome))

    def spans_genome(self, genome: IntArray) -> IntArray:
        """Genome of groups to the genome of `SessionsProblem`."""
        from .kernels.disjoint import group_spans

        n = self.chains.fleet.n_servers
        out = np.zeros(2 * n, dtype=np.int64)
        group_spans(np.ascontiguousarray(genome), self.data, out[:n], out[n:])
        return out

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code of chains, which may find more than one chain for a group."""
        return self.chains.score(spans)

    def lower_bound(self) -> float:
        """None is known."""
        return -np.inf
