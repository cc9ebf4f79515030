"""The state space of the exact solver: types of nodes, how many of each are used, and stages as the kernels see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from objectives.additive import Additive, node_classes, prefix
from objectives.kernels.stages import StageData, windows
from objectives.tables import CostTables

from ..kernels.subset import RowData

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
MOST_CODES = 20_000_000


@dataclass(frozen=True)
class Caps:
    """What stages and links must keep to.

    Attributes
    ----------
    in_flight : int
        Sequences whose caches must fit beside the weights.
    size : int
        Index of the micro-batch size.
    per_sequence_s : float
        Most busy seconds of a stage or link, per sequence of the micro-batch.
    """

    in_flight: int = 1
    size: int = 0
    per_sequence_s: float = np.inf


def memory_need(tables: CostTables, in_flight: int) -> tuple[FloatArray, FloatArray]:
    """Return prefix sums (L + 1,) of the bytes that blocks need, and what each node (N,) may hold.

    The slacks are those of `limits.violation` and `terms.sequences_in_flight`.
    """
    if in_flight <= 1:
        return prefix(tables.weight_bytes + tables.kv_bytes), tables.capacity_bytes * (1 + 1e-12) + 1e-6
    return prefix(tables.weight_bytes + (in_flight - 1e-9) * tables.kv_bytes), tables.capacity_bytes.copy()


@dataclass(frozen=True)
class Space:
    """Multisets of node types, and the stages and hops between them.

    Attributes
    ----------
    tables : CostTables
    classes : int array (N,)
        Type of each node.
    """

    tables: CostTables
    classes: IntArray

    @classmethod
    def of(cls, tables: CostTables) -> Space:
        """Types are the classes of exchangeable nodes."""
        return cls(tables, node_classes(tables))

    @cached_property
    def members(self) -> list[IntArray]:
        """Nodes of each type."""
        return [np.flatnonzero(self.classes == t) for t in range(int(self.classes.max()) + 1)]

    @cached_property
    def heads(self) -> IntArray:
        """One node of each type."""
        return np.array([nodes[0] for nodes in self.members])

    @cached_property
    def counts(self) -> IntArray:
        """How many nodes there are of each type."""
        return np.array([len(nodes) for nodes in self.members])

    @cached_property
    def most_used(self) -> int:
        """Most nodes that a pipeline can use."""
        return min(self.tables.max_nodes, self.tables.n_blocks)

    def n_codes(self) -> float:
        """How many multisets there are, the limit on their number left out."""
        return float(np.prod(self.counts + 1.0))

    @cached_property
    def multisets(self) -> IntArray:
        """Every multiset of at most `most_used` nodes (K, T), the empty one first, subsets before supersets."""
        grown = np.zeros((1, 0), dtype=np.int16)
        for count in self.counts:
            options = np.arange(count + 1, dtype=np.int16)
            grown = np.concatenate(
                [np.repeat(grown, len(options), axis=0), np.tile(options, len(grown))[:, None]], axis=1
            )
            grown = grown[grown.sum(axis=1) <= self.most_used]
        return grown.astype(np.int64)

    @cached_property
    def rows(self) -> RowData:
        """Rows of the table, one for each multiset and each type in it."""
        sets = self.multisets
        radix = np.concatenate([np.cumprod((self.counts + 1)[::-1])[::-1][1:], [1]])
        codes = sets @ radix
        owner, kind = np.nonzero(sets)
        first = np.concatenate([[0], np.cumsum((sets > 0).sum(axis=1))])
        # Codes ascend with the order of `multisets`, so the smaller multiset is found by bisection.
        before = np.searchsorted(codes, codes[owner] - radix[kind])
        return RowData(first.astype(np.int64), kind.astype(np.int64), before.astype(np.int64))

    def complete(self, most_price: float = np.inf) -> BoolArray:
        """Rows whose nodes include all the required ones and cost at most `most_price` $/h."""
        sets = self.multisets
        required = self.tables.required[self.heads]
        fine = (sets[:, required] == self.counts[required]).all(axis=1)
        fine &= sets @ self.tables.price_per_hour[self.heads] <= most_price * (1 + 1e-12)
        return np.repeat(fine, np.diff(self.rows.first))

    def stages(self, cost: Additive, caps: Caps) -> StageData:
        """Costs and limits for the kernels."""
        tables, heads = self.tables, self.heads
        need, capacity = memory_need(tables, caps.in_flight)
        busy = prefix(tables.decode_s[caps.size][heads])
        refused = prefix((~tables.allowed[heads]).astype(np.int64))
        batch = float(tables.batches[caps.size])
        low = np.empty((len(heads), tables.n_blocks + 1), dtype=np.int64)
        most_busy = caps.per_sequence_s * batch * (1 + 1e-12)
        for t, node in enumerate(heads):
            windows(need, capacity[node], busy[t], most_busy, refused[t], low[t])
        high = np.tile(np.arange(-1, tables.n_blocks, dtype=np.int64), (len(heads), 1))
        latency, per_byte = self.links(cost)
        most_bytes = np.full_like(per_byte, np.inf)
        np.divide(caps.per_sequence_s * (1 + 1e-12), per_byte, out=most_bytes, where=per_byte > 0)
        return StageData(
            stage=np.ascontiguousarray(cost.stage[heads]),
            fixed=cost.fixed[heads],
            low=low,
            high=high,
            latency=latency,
            per_byte=per_byte,
            volume=cost.volume,
            cut_bytes=tables.cut_bytes.copy(),
            most_bytes=most_bytes,
            cut_allowed=tables.cut_allowed.copy(),
        )

    def links(self, cost: Additive) -> tuple[FloatArray, FloatArray]:
        """Return latency costs and seconds per byte between types (T + 1, T + 1), the client last.

        Within a type of several nodes the link is that between any two of them.
        """
        tables = self.tables
        ends = np.concatenate([self.heads, [tables.client]])
        pick = np.ix_(ends, ends)
        latency, bandwidth = tables.latency_s[pick].copy(), tables.bandwidth_bytes_per_s[pick].copy()
        for t, nodes in enumerate(self.members):
            if len(nodes) > 1:
                latency[t, t] = tables.latency_s[nodes[0], nodes[1]]
                bandwidth[t, t] = tables.bandwidth_bytes_per_s[nodes[0], nodes[1]]
        linked = bandwidth > 0
        per_byte = np.zeros_like(bandwidth)
        np.divide(1.0, bandwidth, out=per_byte, where=linked)
        return np.where(linked, cost.latency * latency, np.inf), per_byte

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
