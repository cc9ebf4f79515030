"""A Lagrangian relaxation of pipelines: walks with a price on what a walk may do and a pipeline may not.

Contiguous pipelines use each node once: every use of a type costs a multiplier more, and the number of its nodes times
the multiplier is given back. Others must fit the sum of their runs on a node into its memory: every byte costs a
multiplier more. Limits on sums, on the number of nodes and on rent are priced in the same way. For any multipliers the
cheapest walk is a lower bound; subgradient steps raise it (M. Held, P. Wolfe, H. P. Crowder, "Validation of subgradient
optimization", Mathematical Programming 6, 1974, doi:10.1007/BF01580223).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .additive import Additive, FloatArray, Limit
from .kernels.bounds import Walks, cheapest_walk, cover, trace_walk, walk_tables
from .kernels.stages import StageData
from .node_types import Caps, memory_need, stage_data, type_heads, type_members
from .region_bounds import region_bound
from .tables import CostTables


@dataclass(frozen=True)
class Relaxed:
    """A question: the least additive cost of pipelines within caps and limits.

    Attributes
    ----------
    target : float
        A bound that is high enough: the search for multipliers stops there.
    """

    cost: Additive
    caps: Caps = field(default_factory=Caps)
    limits: tuple[Limit, ...] = ()
    target: float = np.inf


@dataclass
class Multipliers:
    """Prices per use of a type, per use of any node, and per limit; kept from question to question as a warm start."""

    use: FloatArray
    node: float = 0.0
    limit: FloatArray | None = None


class Relaxation:
    """Walks over the types of nodes of one problem.

    Parameters
    ----------
    tables : CostTables
    extra : int
        How many runs more than one a contiguous pipeline may have on nodes, all together: one for each tie.
    """

    def __init__(self, tables: CostTables, extra: int = 0) -> None:
        self.tables, self.extra = tables, extra
        self.members = type_members(tables)
        self.heads = type_heads(self.members)
        self.counts = np.array([len(nodes) for nodes in self.members], dtype=np.float64)
        self.required = tables.required[self.heads]
        self.walks: Walks = walk_tables(len(self.heads), tables.n_blocks)
        self.repeated = (self.counts > 1) | (extra > 0) | (not tables.contiguous)
        self.work = 0.0
        self.budget = np.inf

    @property
    def effort(self) -> float:
        """Elementary steps of one walk, roughly, with what it costs to call it at all."""
        return 4e4 + float(len(self.heads) ** 2 * self.tables.n_blocks)

    def fresh(self) -> Multipliers:
        """Multipliers of zero."""
        return Multipliers(np.zeros(len(self.heads)))

    def longest(self, cost: Additive, caps: Caps) -> FloatArray:
        """Most blocks of one stage on each type, the first and the last block not counted."""
        d = stage_data(self.tables, self.members, cost, caps)
        m = self.tables.n_blocks
        longest: FloatArray = (np.arange(m + 1) - np.maximum(d.low, 1))[:, : max(2, m)].max(axis=1).astype(np.float64)
        return np.maximum(longest, 0.0)

    def covering(self, question: Relaxed) -> float:
        """Return the bound of nodes that take blocks without an order; minus infinity where it does not hold."""
        if not self.tables.contiguous or self.extra:
            return -np.inf
        d = stage_data(self.tables, self.members, question.cost, question.caps)
        counts, m = self.counts.astype(np.int64), self.tables.n_blocks
        bound = float(cover(d, counts, 0, m))
        # First and last block are often unlike the rest: without them, no run of the others looks cheaper than it is.
        return max(bound, float(cover(d, counts, 1, m - 1))) if m > 2 else bound

    def covering_regions(self, question: Relaxed) -> float:
        """Return the covering bound that knows regions; minus infinity where it does not hold or would be slow."""
        if not self.tables.contiguous or self.extra:
            return -np.inf
        d = stage_data(self.tables, self.members, question.cost, question.caps)
        return region_bound(d, self.counts.astype(np.int64))

    def bound(self, question: Relaxed, multipliers: Multipliers, steps: int) -> float:
        """Return the best bound of covering and at most `steps` walks; `multipliers` are left at the best ones."""
        best = self.covering(question)
        if best >= question.target:
            return best
        for value in self.ascent(question, multipliers, steps):
            best = max(best, value)
        return best

    def walk(self, cost: Additive, caps: Caps, paid: FloatArray) -> float:
        """Fill `walks` for contiguous pipelines with what the use of each type costs more; return the least cost."""
        d = stage_data(self.tables, self.members, cost, caps)
        return float(cheapest_walk(d._replace(fixed=d.fixed + paid), self.repeated, self.walks)[0])

    def ascent(self, question: Relaxed, multipliers: Multipliers, steps: int) -> Iterator[float]:
        """Yield bounds, not all better than the last."""
        d = stage_data(self.tables, self.members, question.cost, question.caps)
        parts = [stage_data(self.tables, self.members, limit.cost, question.caps) for limit in question.limits]
        self.work += 1e4 * len(self.heads) * (1 + len(parts))
        most = np.array([limit.most for limit in question.limits])
        need, capacity = memory_need(self.tables, question.caps.in_flight)
        room = np.maximum(capacity[self.heads], 1e-9)
        if not self.tables.contiguous:
            d = replace_fixed(d, need, room)
            parts = [replace_fixed(part, need, room) for part in parts]
        n = len(self.heads)
        use, node = multipliers.use.copy(), multipliers.node
        limit = np.zeros(len(most)) if multipliers.limit is None else multipliers.limit.copy()
        best, reserve, scale = -np.inf, 0.05, 1.0
        stalled = 0
        for k in range(steps):
            if k > 0 and self.work > self.budget:
                return
            priced = self._priced(d, parts, use, node, limit / np.maximum(most, 1e-300), need, room)
            value, last = cheapest_walk(priced, self.repeated, self.walks)
            self.work += self.effort
            if last < 0:
                yield np.inf
                return
            cap_nodes = self.tables.max_nodes if self.tables.contiguous else np.inf
            given = float(use @ self.counts) + float(limit.sum()) + (node * cap_nodes if node else 0.0)
            if self.tables.contiguous:
                given += self.extra * (float(max(use.max(), 0.0)) + node + float(priced_fixed(d, parts, limit, most)))
            value -= given
            if value > best + 1e-6 * abs(best):
                stalled = 0
            else:
                stalled += 1
                if stalled >= 6:
                    scale, stalled = scale * 0.6, 0
            if value > best:
                best = value
                multipliers.use, multipliers.node, multipliers.limit = use.copy(), node, limit.copy()
            yield value
            if best >= question.target or scale < 1e-3:
                return
            uses, bytes_used, spent = self._walked(last, priced, parts, need)
            if self.tables.contiguous:
                slope = uses - self.counts
                free = self.required
                slope_node = (uses.sum() - cap_nodes) / max(1.0, cap_nodes) if cap_nodes < self.counts.sum() else -1.0
            else:
                slope, free, slope_node = bytes_used / room - self.counts, np.zeros(n, dtype=bool), 0.0
            slope = np.where(~free & (use <= 0) & (slope < 0), 0.0, slope)
            slope_node = 0.0 if node <= 0 and slope_node < 0 else slope_node
            slope_limit = spent / np.maximum(most, 1e-300) - 1.0
            slope_limit = np.where((limit <= 0) & (slope_limit < 0), 0.0, slope_limit)
            length = float((slope**2).sum() + slope_node**2 + (slope_limit**2).sum())
            if length <= 1e-15:
                return
            wanted = question.target if np.isfinite(question.target) else best + reserve * abs(best)
            wanted = min(wanted, best + reserve * abs(best)) if best != 0 else max(wanted, 1e-12)
            step = scale * (wanted - value) / length
            use = np.where(free, use + step * slope, np.maximum(0.0, use + step * slope))
            node = max(0.0, node + step * slope_node)
            limit = np.maximum(0.0, limit + step * slope_limit)

    def _priced(
        self,
        d: StageData,
        parts: list[StageData],
        use: FloatArray,
        node: float,
        limit: FloatArray,
        need: FloatArray,
        room: FloatArray,
    ) -> StageData:
        stage, fixed, latency, volume = d.stage, d.fixed, d.latency, d.volume
        for part, price in zip(parts, limit.tolist(), strict=True):
            if price > 0:
                stage = stage + price * part.stage
                fixed = fixed + price * part.fixed
                latency = latency + np.where(np.isinf(part.latency), 0.0, price * part.latency)
                volume = volume + price * part.volume
        if self.tables.contiguous:
            fixed = fixed + use + node
        else:
            stage = stage + (use / room)[:, None] * need
        return d._replace(stage=stage, fixed=fixed, latency=latency, volume=volume)

    def _walked(
        self, last: int, d: StageData, parts: list[StageData], need: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return uses and bytes of each type, and each limited sum, of the walk just found."""
        m = self.tables.n_blocks
        types, starts = np.empty(m, np.int64), np.empty(m, np.int64)
        count = trace_walk(d, self.repeated, self.walks, last, types, starts)
        types, starts = types[:count][::-1], starts[:count][::-1]
        stops = np.append(starts[1:], m)
        n = len(self.heads)
        uses = np.bincount(types, minlength=n).astype(np.float64)
        amount: FloatArray = np.bincount(types, weights=need[stops] - need[starts], minlength=n).astype(np.float64)
        i, j = np.append(n, types), np.append(types, n)
        cuts = np.append(starts, m)
        spent = [
            float(
                (part.stage[types, stops] - part.stage[types, starts] + part.fixed[types]).sum()
                + (part.latency[i, j] + part.volume[cuts] * part.per_byte[i, j]).sum()
            )
            for part in parts
        ]
        return uses, amount, np.array(spent)


def replace_fixed(d: StageData, need: FloatArray, room: FloatArray) -> StageData:
    """Turn the fixed cost of a node into one per byte held, which is never more: a node holds at most `room`."""
    share = (d.fixed / room)[:, None] * need
    return d._replace(stage=d.stage + share, fixed=np.zeros_like(d.fixed))


def priced_fixed(d: StageData, parts: list[StageData], limit: FloatArray, most: FloatArray) -> float:
    """Most that a second run of one node is charged as the use of another node."""
    fixed = d.fixed.copy()
    for part, price, bound in zip(parts, limit, most, strict=True):
        fixed += part.fixed * (price / max(bound, 1e-300))
    return float(fixed.max())
