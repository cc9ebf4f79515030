"""Which tables answer a question: one without ties; with a tie, also one for each node that may hold its blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from objectives.pipeline.node_types import busy_sums, memory_need
from objectives.pipeline.tables import CostTables
from placement.search.solver import NotApplicableError

from .search import Answer, Question, Table, Work
from .space import IntArray, Space


def open_ties(tables: CostTables) -> list[tuple[int, int]]:
    """Ties that a pipeline can break, as pairs in order; blocks that no cut can part are told by their first."""
    cuts = np.flatnonzero(tables.cut_allowed[: tables.n_blocks] | (np.arange(tables.n_blocks) == 0))
    group = cuts[np.searchsorted(cuts, np.arange(tables.n_blocks), side="right") - 1]
    pairs = {(min(a, b), max(a, b)) for a, b in tables.ties.tolist() if group[a] != group[b]}
    return sorted({(int(group[a]), b) for a, b in pairs})


@dataclass
class Engine:
    """Answers questions about contiguous pipelines; see `Table.answer`.

    Attributes
    ----------
    tables : CostTables
    width : int
        Most stages that a genome holds.
    most_entries : int
        Largest table, in numbers of 8 bytes.
    most_price : float
        Most $/h that the nodes used may cost.
    """

    tables: CostTables
    width: int
    most_entries: int
    most_price: float = np.inf

    def __post_init__(self) -> None:
        ties = open_ties(self.tables)
        if len(ties) > 1 or any(first != 0 for first, _ in ties):
            raise NotApplicableError("exact needs ties to be one pair with the first block")
        self.tied = ties[0][1] if ties else -1
        allowed = self.tables.cut_allowed.copy()
        allowed[1 : self.tied + 1] = False
        space = Space.of(replace(self.tables, cut_allowed=allowed))
        self.homes: list[Table] = []
        size = space.n_entries()
        if self.tied >= 0:
            size = 2 * size * len(space.members)
        if size > self.most_entries:
            raise NotApplicableError(f"exact needs a table of {size:.2g} entries, more than {self.most_entries:.2g}")
        self.table = Table(space, self.width, self.most_price)
        if self.tied >= 0:
            # Both blocks on one node: in one run (no cut up to the second block), or in two runs of one "home".
            base = replace(space, tables=self.tables)
            self.homes = [
                Table(base.with_home(t, self.tied), self.width, self.most_price) for t in range(len(space.members))
            ]

    @property
    def entries(self) -> int:
        """Entries filled so far."""
        return self.table.entries + sum(home.entries for home in self.homes)

    @property
    def families(self) -> range:
        """Numbers of the families of pipelines: both tied blocks in one run (or no tie), then one for each home."""
        return range(1 + len(self.homes))

    def answer(self, question: Question, family: int | None = None) -> Work:
        """Return the cheapest pipeline within caps and limits, of one family or of all."""
        if family == 0 or not self.homes:
            return (yield from self.table.answer(question))
        if family is not None:
            return (yield from self._home(self.homes[family - 1], question))
        best = yield from self.table.answer(question)
        lower = best.bound
        for home in self.homes:
            cutoff = min(question.cutoff, best.cost)
            found = yield from self._home(home, replace(question, cutoff=cutoff))
            lower = min(lower, found.bound)
            best = found if found.cost < best.cost else best
        return Answer(lower, best.genome, best.cost)

    def _home(self, home: Table, question: Question) -> Work:
        """Branch and bound on the length of the first run: the second may have what the shortest one leaves."""
        best, lower = Answer(np.inf), question.cutoff
        stack = [(1, self.tied)]
        while stack:
            low, high = stack.pop()
            cutoff = min(question.cutoff, best.cost)
            found = yield from home.answer(replace(question, first_run=(low, high), cutoff=cutoff))
            if found.bound >= cutoff:
                continue
            fits = found.genome is not None and self.fits(question, found.genome)
            if found.genome is not None and fits and found.cost < best.cost:
                best = found
            if fits and found.solved:
                continue
            if low == high:
                lower = min(lower, found.bound)
                continue
            first = int(found.genome[1 + self.width]) if found.genome is not None else 0
            middle = first if low < first <= high else (low + high + 1) // 2
            stack += [(low, middle - 1), (middle, high)]
        return Answer(min(lower, best.cost), best.genome, best.cost)

    def fits(self, question: Question, genome: IntArray) -> bool:
        """Tell whether both runs together fit their node's memory and time."""
        caps, tables, count = question.caps, self.tables, int(genome[0])
        node, first = genome[1], int(genome[1 + self.width])
        start, stop = genome[self.width + count - 1], genome[self.width + count]
        for s in range(1, count):
            if genome[1 + s] == node:
                start, stop = genome[self.width + s], genome[1 + self.width + s]
        need, capacity = memory_need(tables, caps.in_flight)
        if need[first] + need[stop] - need[start] > capacity[node]:
            return False
        sums = [(busy_sums(tables, int(node), cap.rates, cap.first, cap.last), cap.most) for cap in caps.busy]
        return all(busy[first] + busy[stop] - busy[start] <= most * (1 + 1e-12) for busy, most in sums)
