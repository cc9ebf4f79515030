"""Disjoint chains as the solvers see them: a small search space that holds good placements, to begin from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.combine import Objective
from objectives.sessions.chains import greedy_chains
from objectives.spans import Span
from placement.search.per_thread import PerThread
from placement.search.problem import FloatArray, IntArray, Score, Spans
from placement.search.solver import Solver
from placement.search.solvers.annealing import Annealing

from .kernels.disjoint import GroupData, group_batch, group_data, group_from_keys, group_spans
from .problem import SessionsProblem


@dataclass(frozen=True)
class GroupProblem:
    """Servers in groups, a chain for each; scored by these chains alone."""

    chains: SessionsProblem

    @PerThread
    def data(self) -> GroupData:
        """What the compiled loops read."""
        return group_data(self.chains.fleet, self.chains.data)

    @property
    def objective(self) -> Objective:
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

    @property
    def round_scale(self) -> float:
        """That of the chains."""
        return self.chains.round_scale

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
        rows = np.zeros((n, self.genome_size), dtype=np.int64)
        for row in rows:
            group_from_keys(rng.random(self.n_keys), self.data, row)
        return rows

    def evaluate(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return costs and violations (n,)."""
        costs, broken = np.empty(len(genomes)), np.empty(len(genomes))
        group_batch(np.ascontiguousarray(genomes), self.data, costs, broken)
        return costs, broken

    def terms(self, genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Terms of the placements by the kernels of chains, which may find more than one chain for a group."""
        return self.chains.terms(np.stack([self.spans_genome(genome) for genome in genomes]))

    def to_keys(self, genome: IntArray) -> FloatArray:
        """Keys that decode to this genome."""
        n = self.chains.fleet.n_servers
        return np.concatenate([(genome[:n] + 0.5) / self.data.groups, (genome[n:] + 0.5) / self.data.held.shape[1]])

    def encode(self, spans: Sequence[Span]) -> IntArray:
        """Spans to the groups of their fastest chains: a placement whose chains share servers comes back unlike itself.

        A server that no chain uses, or that is another chain's already, keeps the last group.
        """
        n, groups = self.chains.fleet.n_servers, int(self.data.groups)
        genome = np.full(self.genome_size, groups - 1, dtype=np.int64)
        genome[n:] = 1
        taken: set[int] = set()
        for group, chain in enumerate(greedy_chains(self.chains.fleet, self.chains.ranges(spans))[:groups]):
            own = [j for j in chain.servers if j not in taken]
            genome[own] = group
            genome[n + group] = min(chain.capacity, self.data.held.shape[1] - 1)
            taken.update(own)
        return genome

    def decode(self, genome: IntArray) -> Spans:
        """Genome to the spans of servers that hold something."""
        return self.chains.decode(self.spans_genome(genome))

    def spans_genome(self, genome: IntArray) -> IntArray:
        """Genome of groups to the genome of `SessionsProblem`."""
        n = self.chains.fleet.n_servers
        out = np.zeros(2 * n, dtype=np.int64)
        group_spans(np.ascontiguousarray(genome), self.data, out[:n], out[n:])
        return out

    def score(self, spans: Sequence[Span]) -> Score:
        """Score by the reference code of chains, which may find more than one chain for a group."""
        return self.chains.score(spans)

    def portfolio(self) -> Solver:
        """One walk will do."""
        return Annealing()

    def lower_bound(self) -> float:
        """What holds for all placements holds for these."""
        return self.chains.lower_bound()
