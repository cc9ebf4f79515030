"""The splits that people use today, one proposal each: what every other solver is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from objectives.pipeline.tables import CostTables
from objectives.spans import Span
from placement.search.problem import Problem
from placement.search.solver import IntArray, NotApplicableError, Proposal

FloatArray = npt.NDArray[np.float64]


def tables_of(problem: Problem) -> CostTables:
    """The pipeline's tables; yardsticks know pipelines only."""
    tables = getattr(problem, "tables", None)
    if not isinstance(tables, CostTables):
        raise NotApplicableError("this yardstick splits pipelines only")
    return tables


def shares(tables: CostTables, weights: FloatArray) -> list[Span]:
    """Split the blocks over nodes in file order, proportionally to `weights`, by largest remainder."""
    exact = weights / weights.sum() * tables.n_blocks
    counts = np.floor(exact).astype(np.int64)
    for node in np.argsort(counts - exact, kind="stable")[: tables.n_blocks - counts.sum()]:
        counts[node] += 1
    stops = counts.cumsum().tolist()
    spans = [Span(node, start, stop) for node, (start, stop) in enumerate(zip([0, *stops], stops, strict=False))]
    return [span for span in spans if span.stop > span.start]


def even_by_memory(tables: CostTables, nodes: IntArray) -> list[Span]:
    """Blocks over these nodes in proportion to their memory, as exo's ring has them."""
    weights = np.zeros(tables.n_nodes)
    weights[nodes] = np.maximum(tables.capacity_bytes[nodes], 0.0) + 1e-9
    return shares(tables, weights)


def fit_in_order(tables: CostTables, budget: FloatArray) -> list[Span]:
    """First fit: each node in file order takes blocks until its budget of bytes is full; the last takes the rest."""
    need = tables.weight_bytes + tables.kv_bytes
    spans: list[Span] = []
    start = 0
    for node in range(tables.n_nodes):
        stop, left = start, float(budget[node])
        while stop < tables.n_blocks and need[stop] <= left:
            left -= float(need[stop])
            stop += 1
        if stop > start:
            spans.append(Span(node, start, stop))
            start = stop
    if start < tables.n_blocks:
        last = spans.pop() if spans else Span(0, 0, 0)
        spans.append(Span(last.node, last.start, tables.n_blocks))
    return spans


@dataclass(frozen=True)
class Uniform:
    """The same number of blocks on every node, as vLLM and Megatron split by default."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield one placement."""
        tables = tables_of(problem)
        yield Proposal(problem.encode(shares(tables, np.ones(tables.n_nodes)))[None, :], 1)


@dataclass(frozen=True)
class ByMemory:
    """Blocks in proportion to memory, as exo's ring does."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield one placement."""
        tables = tables_of(problem)
        yield Proposal(problem.encode(even_by_memory(tables, np.arange(tables.n_nodes)))[None, :], 1)


@dataclass(frozen=True)
class BySpeed:
    """Blocks in proportion to decode speed."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield one placement."""
        tables = tables_of(problem)
        speed = 1.0 / np.maximum(tables.decode_s[0].mean(axis=1), 1e-12)
        yield Proposal(problem.encode(shares(tables, speed))[None, :], 1)


@dataclass(frozen=True)
class FirstFit:
    """Fill the nodes one after the other in file order, as accelerate's "sequential" does."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield one placement."""
        tables = tables_of(problem)
        yield Proposal(problem.encode(fit_in_order(tables, tables.capacity_bytes))[None, :], 1)


@dataclass(frozen=True)
class Balanced:
    """First fit with a budget of an equal share per node, as accelerate's "balanced": the last node is unbounded.

    accelerate lowers every budget but the last to the mean share plus 1.25 times the largest block.
    """

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield one placement."""
        tables = tables_of(problem)
        need = tables.weight_bytes + tables.kv_bytes
        share = need.sum() / tables.n_nodes + 1.25 * need.max()
        budget = np.minimum(tables.capacity_bytes, share)
        budget[-1] = tables.capacity_bytes[-1]
        yield Proposal(problem.encode(fit_in_order(tables, budget))[None, :], 1)
