"""How swarms place blocks today, one proposal each: what replicated placements are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from objectives.petals.rules import joined, verdict
from objectives.replicated.tables import IntArray, ReplicatedTables
from placement.search.problem import Problem
from placement.search.solver import NotApplicableError, Proposal


def tables_of(problem: Problem) -> ReplicatedTables:
    """The replicated tables; these yardsticks know nothing else."""
    tables = getattr(problem, "tables", None)
    if not isinstance(tables, ReplicatedTables):
        raise NotApplicableError("this yardstick makes replicated placements only")
    return tables


def genome_of(start: IntArray, stop: IntArray) -> IntArray:
    """One genome as a row."""
    return np.concatenate([start, stop])[None, :].astype(np.int64)


@dataclass(frozen=True)
class Petals:
    """Greedy joining in file order and rebalancing (A. Borzunov et al., NeurIPS 2023, arXiv:2312.08361).

    Every server holds as many blocks as fit, where the throughput is least; afterwards a server moves when the swarm's
    slowest block would gain enough once all others have re-chosen too. Yields the layout before and after.

    Attributes
    ----------
    rebalance : bool
        False: joining only.
    """

    rebalance: bool = True

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield the layout of joining, or the one after rebalancing."""
        tables = tables_of(problem)
        sizes = np.minimum(tables.most_blocks, tables.n_blocks)
        nodes = np.flatnonzero(sizes > 0)
        sizes = sizes[nodes]
        speeds = tables.rate[nodes, sizes - 1]
        spans = list(joined(sizes.tolist(), speeds.tolist(), tables.n_blocks))
        for i in range(len(nodes)) if self.rebalance else ():
            said = verdict(spans, speeds.tolist(), i, tables.n_blocks, rng.shuffle)
            if said.moves:
                spans[i] = (said.start, said.start + int(sizes[i]))
        genome = np.zeros((2, tables.n_nodes), dtype=np.int64)
        if spans:
            genome[:, nodes] = np.array(spans).T
        yield Proposal(genome_of(genome[0], genome[1]), 1)


@dataclass(frozen=True)
class EqualStages:
    """Stages of equal size that every node can hold, each node joining the slowest (SWARM, arXiv:2301.11913)."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield one placement."""
        tables = tables_of(problem)
        most = tables.most_blocks
        smallest = int(most[most > 0].min())
        stages = -(-tables.n_blocks // smallest)
        cuts = np.round(np.linspace(0, tables.n_blocks, stages + 1)).astype(np.int64)
        first, last = (np.zeros(tables.n_nodes, dtype=np.int64) for _ in range(2))
        totals = np.zeros(stages)
        for node in np.flatnonzero(most > 0):
            slowest = int(totals.argmin())
            first[node], last[node] = cuts[slowest], cuts[slowest + 1]
            totals[slowest] += tables.rate[node, last[node] - first[node] - 1]
        yield Proposal(genome_of(first, last), 1)


@dataclass(frozen=True)
class Separate:
    """A pipeline of equal stages for every type of node that can hold the whole model; other nodes idle."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield one placement."""
        tables = tables_of(problem)
        most = tables.most_blocks
        first, last = (np.zeros(tables.n_nodes, dtype=np.int64) for _ in range(2))
        _, kind = np.unique(tables.rate, axis=0, return_inverse=True)
        for number in range(int(kind.max()) + 1):
            nodes = np.flatnonzero(kind == number)
            stages = -(-tables.n_blocks // max(1, int(most[nodes[0]])))
            if len(nodes) < stages:
                continue
            # As many stages as nodes when they do not suffice for two of each.
            stages = len(nodes) if len(nodes) < 2 * stages else stages
            stages = min(stages, tables.n_blocks)
            cuts = np.round(np.linspace(0, tables.n_blocks, stages + 1)).astype(np.int64)
            where = np.arange(len(nodes)) % stages
            first[nodes], last[nodes] = cuts[where], cuts[where + 1]
        yield Proposal(genome_of(first, last), 1)
