"""The state space of the exact solver: how many nodes of each type are used, and stages as the kernels see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from objectives.pipeline.additive import Additive
from objectives.pipeline.kernels.stages import StageData
from objectives.pipeline.node_types import Caps, first_starts, memory_need, stage_data, type_heads, type_members
from objectives.pipeline.tables import CostTables

from ..kernels.subset import RowData

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Space:
    """Multisets of node types, and the stages and hops between them.

    Attributes
    ----------
    tables : CostTables
    members : tuple of int array
        Nodes of each type.
    opening, closing : int
        Types of the first and of the second run of the one node that holds both blocks of a tie; -1 for none. The
        opening one comes first, the closing one holds the second block, and both are used.
    tied_block : int
        The block that the closing run must hold.
    """

    tables: CostTables
    members: tuple[IntArray, ...]
    opening: int = -1
    closing: int = -1
    tied_block: int = -1

    @classmethod
    def of(cls, tables: CostTables) -> Space:
        """Types are the classes of exchangeable nodes."""
        return cls(tables, type_members(tables))

    def with_home(self, home: int, tied_block: int) -> Space:
        """Two more types, the first and the second run of one node of type `home`."""
        node = self.members[home][-1:]
        members = [nodes[:-1] if t == home else nodes for t, nodes in enumerate(self.members)]
        return Space(self.tables, (*members, node, node), len(members), len(members) + 1, tied_block)

    @cached_property
    def heads(self) -> IntArray:
        """One node of each type; a type that lost its only node to a tie is never used."""
        return type_heads(self.members)

    @cached_property
    def counts(self) -> IntArray:
        """How many nodes there are of each type."""
        return np.array([len(nodes) for nodes in self.members])

    @property
    def paid(self) -> IntArray:
        """Types whose use counts as the use of a node: the closing run's node is counted already."""
        return np.flatnonzero(np.arange(len(self.counts)) != self.closing)

    def n_entries(self) -> float:
        """Entries of the table, the limit on the number of nodes left out."""
        return float(np.prod(self.counts + 1.0)) * len(self.counts) * (self.tables.n_blocks + 1) / 2

    @cached_property
    def multisets(self) -> IntArray:
        """Every multiset of nodes allowed (K, T), the empty one first, subsets before supersets."""
        most = min(self.tables.max_nodes, self.tables.n_blocks)
        grown = np.zeros((1, 0), dtype=np.int16)
        paid = np.arange(len(self.counts)) != self.closing
        for t, count in enumerate(self.counts):
            options = np.arange(count + 1, dtype=np.int16)
            grown = np.concatenate(
                [np.repeat(grown, len(options), axis=0), np.tile(options, len(grown))[:, None]], axis=1
            )
            grown = grown[grown[:, paid[: t + 1]].sum(axis=1) <= most]
        if self.opening >= 0:
            grown = grown[(grown[:, self.opening] > 0) | (grown.sum(axis=1) == 0)]
        return grown.astype(np.int64)

    @cached_property
    def _rows(self) -> tuple[RowData, IntArray]:
        sets = self.multisets
        radix = np.concatenate([np.cumprod((self.counts + 1)[::-1])[::-1][1:], [1]])
        codes = sets @ radix
        owner, kind = np.nonzero(sets)
        # Codes ascend with the order of `multisets`, so the smaller multiset is found by bisection.
        wanted = codes[owner] - radix[kind]
        before = np.searchsorted(codes, wanted)
        known = codes[before] == wanted
        owner, kind, before = owner[known], kind[known], before[known]
        first = np.searchsorted(owner, np.arange(len(sets) + 1))
        return RowData(first.astype(np.int64), kind.astype(np.int64), before.astype(np.int64)), owner

    @property
    def rows(self) -> RowData:
        """Rows of the table, one for each multiset and each type in it that may come last."""
        return self._rows[0]

    @cached_property
    def stages_of_rows(self) -> IntArray:
        """Stages of the pipelines that each row stands for."""
        counts: IntArray = self.multisets.sum(axis=1)[self._rows[1]]
        return counts

    def complete(self, most_price: float = np.inf) -> BoolArray:
        """Rows whose nodes include all the required ones and cost at most `most_price` $/h."""
        sets = self.multisets
        required = self.tables.required[self.heads] & (self.counts > 0)
        fine = (sets[:, required] == self.counts[required]).all(axis=1)
        if self.closing >= 0:
            fine &= sets[:, self.closing] > 0
        price = sets[:, self.paid] @ self.tables.price_per_hour[self.heads[self.paid]]
        fine &= price <= most_price * (1 + 1e-12)
        complete: BoolArray = fine[self._rows[1]]
        return complete

    def stages(self, cost: Additive, caps: Caps, first_run: tuple[int, int] = (0, 0)) -> StageData:
        """Costs and limits for the kernels.

        The opening run, if any, ends within `first_run`; the closing one is given what memory and time the shortest
        such run leaves to it.
        """
        tables = self.tables
        d = stage_data(tables, self.members, cost, caps)
        if self.opening < 0:
            return d
        node = self.members[self.closing][0]
        need, capacity = memory_need(tables, caps.in_flight)
        d.low[self.closing] = first_starts(tables, caps, node, float(capacity[node]), need, first_run[0])
        stops = np.arange(tables.n_blocks + 1)
        d.high[self.opening] = np.where((stops >= first_run[0]) & (stops > 0), 0, -1)
        d.low[self.opening][stops > first_run[1]] = tables.n_blocks
        d.high[self.closing] = np.where(stops > self.tied_block, self.tied_block, -1)
        d.fixed[self.closing] = 0.0
        # Side by side the two runs would be one; that case is searched apart.
        d.latency[self.opening, self.closing] = d.latency[self.closing, self.opening] = np.inf
        return d

    def genome(self, types: IntArray, stops: IntArray, width: int) -> IntArray:
        """Genome of a pipeline given as types and stops in block order."""
        genome = np.zeros(1 + 2 * width, dtype=np.int64)
        taken = dict.fromkeys(range(len(self.members)), 0)
        genome[0] = len(types)
        for s, t in enumerate(types.tolist()):
            genome[1 + s] = self.members[t][taken[t]]
            taken[t] += 1
        genome[1 + width : 1 + width + len(stops)] = stops
        return genome
