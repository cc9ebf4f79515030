"""Exact search of contiguous pipelines by dynamic programming over multisets of node types; see `kernels/subset.py`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from objectives.additive import ADDITIVE, Additive, weighted_cost

from ..kernels.subset import cheapest_row, fill_rows, walk_back
from ..problem import PipelineProblem, Problem
from .base import IntArray, NotApplicableError, Proposal
from .subset_space import BoolArray, Caps, Space

# A proven bound is lowered by this much, relative, so that rounding in another order cannot break it.
SLACK = 2e-10
ROUND_ENTRIES = 3_000_000


@dataclass
class Table:
    """The table of the dynamic program, filled again for every question; keeps count of the work done."""

    space: Space
    width: int
    entries: int = 0
    _best: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._best = np.empty((len(self.space.rows.type_of), self.space.tables.n_blocks + 1))

    def cheapest(
        self, cost: Additive, caps: Caps, complete: BoolArray
    ) -> Generator[None, None, tuple[float, IntArray | None]]:
        """Return the least cost and its genome (infinite and None when nothing fits); yields between rounds."""
        d, rows, best = self.space.stages(cost, caps), self.space.rows, self._best
        chunk = max(1, ROUND_ENTRIES // best.shape[1])
        for begin in range(0, len(best), chunk):
            fill_rows(best, rows, d, begin, min(begin + chunk, len(best)))
            if begin + chunk < len(best):
                yield
        self.entries += best.size
        value, row = cheapest_row(best, rows, d, complete)
        if row < 0:
            return np.inf, None
        types, stops = np.empty(self.width, np.int64), np.empty(self.width, np.int64)
        count = walk_back(best, rows, d, row, types, stops)
        return value, self.space.genome(types[:count][::-1], stops[:count][::-1], self.width)


@dataclass(frozen=True)
class Exact:
    """Hyper-parameters.

    Attributes
    ----------
    most_entries : int
        Largest table, in numbers of 8 bytes.
    """

    most_entries: int = 60_000_000

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield better placements and bounds until the optimum is proven or nothing more can be."""
        if not isinstance(problem, PipelineProblem) or not problem.compiled:
            raise NotApplicableError("exact needs a pipeline problem with a built-in objective")
        space = Space.of(problem.tables)
        if space.n_codes() * len(space.counts) * (problem.tables.n_blocks + 1) / 2 > self.most_entries:
            yield Proposal(start[:1], 0, problem.lower_bound())
            return
        table = Table(space, problem.width)
        objective = problem.objective
        cost = weighted_cost(problem.tables, objective.weights)
        additive = all(name in ADDITIVE for name in objective.weights)
        complete = space.complete(objective.limits.get("price", np.inf))
        work = table.cheapest(cost, Caps(), complete)
        while True:
            try:
                next(work)
            except StopIteration as done:
                value, genome = done.value
                break
            yield Proposal(start[:1])
        genomes = start[:1] if genome is None else genome[None, :]
        yield Proposal(genomes, 1, value * (1 - SLACK) if additive else -np.inf)
