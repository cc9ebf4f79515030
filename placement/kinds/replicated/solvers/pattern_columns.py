"""Patterns of node kinds that together carry a flow: priced by labels, and listed where they are few.

Nodes with the same rates are one *kind*. A pattern of a stage is a number of blocks and a multiset of kinds whose rates
at that number sum to the flow; a pattern of a block is a multiset of (kind, number of blocks) whose rates do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from objectives.replicated.tables import FloatArray, IntArray, ReplicatedTables

ROUNDING = 1e-12  # relative, of sums of rates
MOST_LABELS = 20_000  # beyond it rates are rounded up to as many steps, which keeps bounds bounds


@dataclass(frozen=True, slots=True)
class Kinds:
    """Nodes that can be exchanged as far as rates go.

    Attributes
    ----------
    rate : array (T, K)
        Tokens/s at 1 to K blocks; 0 where so many do not fit.
    members : tuple of int arrays
        Nodes of each kind.
    """

    rate: FloatArray
    members: tuple[IntArray, ...]

    @property
    def count(self) -> IntArray:
        """Nodes of each kind, array (T,)."""
        return np.array([len(nodes) for nodes in self.members], dtype=np.int64)


def kinds_of(tables: ReplicatedTables) -> Kinds:
    """Group the nodes by their rates; those that can hold nothing are left out."""
    rows, kind = np.unique(tables.rate, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    useful = [t for t in range(len(rows)) if rows[t].any()]
    return Kinds(rows[useful], tuple(np.flatnonzero(kind == t) for t in useful))


@dataclass(frozen=True, slots=True)
class Column:
    """A pattern as a column of the program.

    Attributes
    ----------
    gain : int
        Blocks that it holds: those of the stage, or one.
    use : tuple of float
        Nodes of each kind that it takes: whole ones for a stage; for one block, a k-th of a node that holds k.
    coverage : float
        Tokens/s that it carries.
    """

    gain: int
    use: tuple[float, ...]
    coverage: float


@dataclass(frozen=True, slots=True)
class Option:
    """One node of a kind in a pattern: its cost, its rate (at most the flow), the blocks that it holds."""

    cost: float
    rate: float
    blocks: int


def cheapest(
    options: Sequence[Sequence[Option]], count: IntArray, flow: float, most_cost: float
) -> tuple[float, list[tuple[int, Option]]] | None:
    """Return the cost and the nodes (kind, option) of the cheapest pattern below `most_cost` that carries `flow`.

    Labels (cost, rate), node after node, those that another label beats left out, and those that cannot end below
    `most_cost`. Where labels are too many their rates are rounded up: the cost is then a lower bound.
    """
    ratio = min((option.cost / option.rate for row in options for option in row), default=np.inf)
    if not np.isfinite(ratio):
        return None
    need, cost, rate = flow * (1.0 - ROUNDING), np.zeros(1), np.zeros(1)
    steps: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    for kind, row in enumerate(options):
        add_cost = np.array([0.0, *(option.cost for option in row)])
        add_rate = np.array([0.0, *(option.rate for option in row)])
        for _ in range(int(count[kind]) if row else 0):
            costs = (add_cost[:, None] + cost).ravel()
            rates = np.minimum((add_rate[:, None] + rate).ravel(), flow)
            if len(rates) > MOST_LABELS:
                rates = np.minimum(np.ceil(rates * (MOST_LABELS / flow)) * (flow / MOST_LABELS), flow)
            order = np.lexsort((-rates, costs))
            order = order[(costs + np.maximum(0.0, need - rates) * ratio)[order] < most_cost]
            if not len(order):
                return None
            best = np.maximum.accumulate(rates[order])
            kept = order[np.concatenate([[True], rates[order][1:] > best[:-1]])]
            steps.append((kind, kept % len(cost), kept // len(cost) - 1))
            cost, rate = costs[kept], rates[kept]
    if rate[-1] < need:
        return None
    label, picked = len(cost) - 1, []
    for kind, before, choice in reversed(steps):
        if choice[label] >= 0:
            picked.append((kind, options[kind][int(choice[label])]))
        label = int(before[label])
    return float(cost[-1]), picked


def block_column(kinds: Kinds, picked: Sequence[tuple[int, Option]]) -> Column:
    """The column of one block's holders, each shared between the blocks that it holds."""
    use, coverage = [0.0] * len(kinds.members), 0.0
    for kind, option in picked:
        use[kind] += 1.0 / option.blocks
        coverage += float(kinds.rate[kind, option.blocks - 1])
    return Column(1, tuple(use), coverage)


def price_block(kinds: Kinds, flow: float, dual: FloatArray) -> tuple[float, list[Column]]:
    """Return the least ratio of cost to gain of the patterns of one block, and the pattern when it is below 1."""
    rows = []
    for t, row in enumerate(kinds.rate):
        able = [Option(float(dual[t]) / (k + 1), min(float(row[k]), flow), k + 1) for k in np.flatnonzero(row).tolist()]
        kept: list[Option] = []
        for option in sorted(able, key=lambda option: (-option.rate, option.cost)):
            if not kept or option.cost < kept[-1].cost:
                kept.append(option)
        rows.append(kept)
    found = cheapest(rows, kinds.count, flow, 1.0)
    return (1.0, []) if found is None else (found[0], [block_column(kinds, found[1])])


def price_stages(kinds: Kinds, flow: float, dual: FloatArray, per_stage: float) -> tuple[float, list[Column]]:
    """Return the least ratio of cost to gain of the patterns of stages, and the best of each size that is below 1."""
    least, columns = 1.0, []
    for k in range(1, kinds.rate.shape[1] + 1):
        rows = [
            [Option(float(dual[t]), min(float(row[k - 1]), flow), k)] if row[k - 1] > 0 else []
            for t, row in enumerate(kinds.rate)
        ]
        found = cheapest(rows, kinds.count, flow, k - per_stage)
        if found is not None:
            least = min(least, (found[0] + per_stage) / k)
            columns.append(stage_column(kinds, k, _counts(found[1], len(rows))))
    return least, columns


def _counts(picked: Sequence[tuple[int, Option]], kinds: int) -> IntArray:
    counts = np.zeros(kinds, dtype=np.int64)
    for kind, _ in picked:
        counts[kind] += 1
    return counts


def stage_column(kinds: Kinds, blocks: int, counts: IntArray) -> Column:
    """The column of a stage of `blocks` blocks on so many nodes of each kind."""
    return Column(blocks, tuple(counts.astype(float).tolist()), float(counts @ kinds.rate[:, blocks - 1]))


def pure(kinds: Kinds, flow: float, *, stages: bool) -> list[Column]:
    """Patterns of nodes that are all alike, to begin with."""
    found = []
    for t, k in zip(*np.nonzero(kinds.rate), strict=True):
        number = max(1, int(np.ceil(flow * (1.0 - ROUNDING) / kinds.rate[t, k])))
        if number <= len(kinds.members[t]):
            use = [0.0] * len(kinds.members)
            use[t] = float(number) if stages else number / (k + 1)
            found.append(Column(int(k) + 1 if stages else 1, tuple(use), number * float(kinds.rate[t, k])))
    return found


def all_stages(
    kinds: Kinds, flow: float, dual: FloatArray, per_stage: float, slack: float, most: int
) -> list[Column] | None:
    """Every least pattern of a stage whose cost exceeds its blocks by at most `slack`; None when they are too many.

    Least: no node of it can be left out. Kinds are tried the fastest first, so the last one added was needed.
    """
    found: list[Column] = []
    budget = [20 * most]
    for k in range(1, kinds.rate.shape[1] + 1):
        rate = kinds.rate[:, k - 1]
        order = [int(t) for t in np.argsort(-rate, kind="stable") if rate[t] > 0]
        room = [float((kinds.count[order[i:]] * rate[order[i:]]).sum()) for i in range(len(order) + 1)]
        counts, limit = np.zeros(len(rate), dtype=np.int64), k - per_stage + slack

        def extend(
            i: int,
            left: float,
            cost: float,
            k: int = k,
            rate: FloatArray = rate,
            order: list[int] = order,
            room: list[float] = room,
            counts: IntArray = counts,
            limit: float = limit,
        ) -> None:
            budget[0] -= 1
            if left <= flow * ROUNDING:
                found.append(stage_column(kinds, k, counts))
                return
            if room[i] < left - flow * ROUNDING or budget[0] < 0:
                return
            t = order[i]
            needed = int(np.ceil((left - flow * ROUNDING) / rate[t]))
            for number in range(min(int(kinds.count[t]), needed) + 1):
                if cost + number * dual[t] > limit:
                    break
                counts[t] = number
                extend(i + 1, left - number * float(rate[t]), cost + number * float(dual[t]))
            counts[t] = 0

        extend(0, flow, 0.0)
        if budget[0] < 0 or len(found) > most:
            return None
    return found
