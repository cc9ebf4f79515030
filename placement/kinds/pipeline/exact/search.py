"""Answers of the dynamic program: the cheapest pipeline under caps, under additive limits, and with a tied first block.

All of these are generators: they yield candidate genomes (often none) between rounds of work, and return an `Answer`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from objectives.pipeline.additive import Additive, Limit
from objectives.pipeline.kernels.stages import StageData
from objectives.pipeline.node_types import Caps

from ..kernels.labels import Labels, Priced, extend_labels, seed_labels
from ..kernels.subset import cheapest_row, fill_rows, walk_back
from .space import BoolArray, FloatArray, IntArray, Space

ROUND_ENTRIES = 2_000_000
ROUND_STEPS = 3_000_000
MOST_LABELS = 600_000
MOST_FLOORS = 6_000_000


@dataclass(frozen=True)
class Answer:
    """What a question to the dynamic program gave.

    Attributes
    ----------
    bound : float
        No pipeline within the caps and limits costs less; infinite when there is none.
    genome : int array or None
        One that costs `cost`, when one was found.
    cost : float
        Additive cost of `genome`, infinite without one.
    """

    bound: float
    genome: IntArray | None = None
    cost: float = np.inf

    @property
    def solved(self) -> bool:
        """The genome is optimal, or there is none."""
        return self.cost <= self.bound


Work = Generator[IntArray, None, Answer]


@dataclass(frozen=True)
class Question:
    """The cheapest pipeline of so many stages or more; what costs `cutoff` or more is of no interest."""

    cost: Additive
    caps: Caps = field(default_factory=Caps)
    limits: tuple[Limit, ...] = ()
    cutoff: float = np.inf
    first_run: tuple[int, int] = (0, 0)
    stages: int = 1


def run_cost(space: Space, cost: Additive, genome: IntArray, width: int) -> float:
    """Additive cost of a genome."""
    tables, count = space.tables, int(genome[0])
    nodes, stops = genome[1 : 1 + count], genome[1 + width : 1 + width + count]
    starts = np.concatenate([[0], stops[:-1]])
    total = float((cost.stage[nodes, stops] - cost.stage[nodes, starts]).sum())
    total += float(cost.fixed[np.unique(nodes)].sum())
    i, j = np.concatenate([[tables.client], nodes]), np.concatenate([nodes, [tables.client]])
    cuts = np.concatenate([[0], stops])
    bandwidth = tables.bandwidth_bytes_per_s[i, j]
    return total + float((cost.latency * tables.latency_s[i, j] + cost.volume[cuts] / bandwidth).sum())


@dataclass
class Table:
    """The table of the dynamic program, filled again for every question; keeps count of the work done."""

    space: Space
    width: int
    most_price: float = np.inf
    entries: int = 0

    def __post_init__(self) -> None:
        self.rows = self.space.rows
        self.complete: BoolArray = self.space.complete(self.most_price)
        self._best: FloatArray = np.empty((len(self.rows.type_of), self.space.tables.n_blocks + 1))

    def fill(self, d: StageData, best: FloatArray) -> Generator[IntArray, None, None]:
        """Fill a table in rounds."""
        chunk = max(1, ROUND_ENTRIES // best.shape[1])
        for begin in range(0, len(best), chunk):
            fill_rows(best, self.rows, d, begin, min(begin + chunk, len(best)))
            if begin + chunk < len(best):
                yield self.nothing
        self.entries += best.size

    @property
    def nothing(self) -> IntArray:
        """No genomes."""
        return np.empty((0, 1 + 2 * self.width), dtype=np.int64)

    def cheapest(self, question: Question, cost: Additive | None = None) -> Work:
        """Return the answer without the limits."""
        d = self.space.stages(cost or question.cost, question.caps, question.first_run)
        yield from self.fill(d, self._best)
        value, row = cheapest_row(self._best, self.rows, d, self.finished(question))
        if row < 0:
            return Answer(np.inf)
        types, stops = np.empty(self.width, np.int64), np.empty(self.width, np.int64)
        count = walk_back(self._best, self.rows, d, row, types, stops)
        return Answer(value, self.space.genome(types[:count][::-1], stops[:count][::-1], self.width), value)

    def finished(self, question: Question) -> BoolArray:
        """Rows that a pipeline may end with."""
        return self.complete if question.stages <= 1 else self.complete & (self.space.stages_of_rows >= question.stages)

    def within(self, limits: tuple[Limit, ...], genome: IntArray) -> bool:
        """Tell whether a genome keeps the limits."""
        return all(run_cost(self.space, limit.cost, genome, self.width) <= limit.most * (1 + 1e-12) for limit in limits)

    def answer(self, question: Question) -> Work:
        """Return the answer with the limits: the bound meets the cost unless the labels did not fit."""
        free = yield from self.cheapest(question)
        if free.genome is None or free.bound >= question.cutoff or self.within(question.limits, free.genome):
            return free
        multipliers, bound, found = yield from self.dual(question, free)
        if bound >= min(question.cutoff, found.cost):
            return Answer(bound, found.genome, found.cost)
        return (yield from self.label(question, multipliers, bound, found))

    def dual(self, question: Question, free: Answer) -> Generator[IntArray, None, tuple[FloatArray, float, Answer]]:
        """Maximise the Lagrangian bound over multipliers of the limits; returns them, the bound, the best found.

        Subgradient steps after B. T. Polyak, USSR Comput. Math. Math. Phys. 9(3), 1969,
        doi:10.1016/0041-5553(69)90035-4.
        """
        limits = question.limits
        most = np.array([limit.most for limit in limits])
        multipliers, best, bound = np.zeros(len(limits)), np.zeros(len(limits)), free.bound
        found, answer, step = Answer(np.inf), free, 1.0
        for k, limit in enumerate(limits):
            least = yield from self.cheapest(question, limit.cost)
            if least.genome is None or least.bound > limit.most * (1 + 1e-12):
                return best, np.inf, Answer(np.inf)
            found = self._better(question, found, least.genome)
            multipliers[k] = best[k]
        for _ in range(25 * len(limits)):
            assert answer.genome is not None
            uses = np.array([run_cost(self.space, limit.cost, answer.genome, self.width) for limit in limits])
            slope = uses / most - 1.0
            target = min(found.cost, question.cutoff)
            target = target if np.isfinite(target) else bound + 0.1 * abs(bound)
            length = float((np.where((multipliers <= 0) & (slope < 0), 0.0, slope) ** 2).sum())
            if length <= 1e-18 or target - bound <= 1e-9 * abs(target):
                break
            multipliers = np.maximum(0.0, multipliers + step * max(target - answer.bound, 0.0) * slope / length)
            cost = question.cost
            for limit, multiplier in zip(limits, multipliers, strict=True):
                cost = cost + limit.cost * (multiplier / limit.most)
            mixed = yield from self.cheapest(question, cost)
            assert mixed.genome is not None
            answer = Answer(mixed.bound - float(multipliers.sum()), mixed.genome)
            found = self._better(question, found, mixed.genome)
            if answer.bound > bound:
                best, bound = multipliers, answer.bound
            else:
                step *= 0.75
            yield found.genome[None, :] if found.genome is not None else self.nothing
        return best / most, bound, found

    def _better(self, question: Question, found: Answer, genome: IntArray) -> Answer:
        if not self.within(question.limits, genome):
            return found
        cost = run_cost(self.space, question.cost, genome, self.width)
        return Answer(-np.inf, genome, cost) if cost < found.cost else found

    def label(self, question: Question, multipliers: FloatArray, bound: float, found: Answer) -> Work:
        """Close the gap between `bound` and `found` with labels."""
        limits = question.limits
        costs = [question.cost, *(limit.cost for limit in limits)]
        mixed = question.cost
        for limit, multiplier in zip(limits, multipliers, strict=True):
            mixed = mixed + limit.cost * float(multiplier)
        parts = [self.space.stages(cost, question.caps, question.first_run) for cost in costs]
        d = self.space.stages(mixed, question.caps, question.first_run)
        yield from self.fill(d, self._best)
        floors = np.empty((len(limits) if len(limits) * self._best.size <= MOST_FLOORS else 0, *self._best.shape))
        for part, floor in zip(parts[1:], floors, strict=False):
            yield from self.fill(part, floor)
        stage, fixed, latency, volume = (
            np.stack([getattr(part, name) for part in parts]) for name in ("stage", "fixed", "latency", "volume")
        )
        priced = Priced(stage, fixed, latency, volume, np.array([limit.most for limit in limits]), multipliers)
        labels = Labels(
            np.empty((MOST_LABELS, len(costs))),
            np.empty((MOST_LABELS, 4), dtype=np.int64),
            np.full(self._best.shape, -1, dtype=np.int64),
            np.array([0, -1], dtype=np.int64),
        )
        row, cutoff = len(self._best) - 1, min(found.cost, question.cutoff)
        if not seed_labels(labels, self.rows, d, priced, self.finished(question)):
            row = -2
        while row >= 0:
            row, cutoff = extend_labels(labels, self.rows, d, priced, self._best, floors, row, ROUND_STEPS, cutoff)
            self.entries += ROUND_STEPS
            yield self.nothing
        if labels.state[1] >= 0:
            found = Answer(-np.inf, self._follow(labels), cutoff)
        return Answer(cutoff if row == -1 else bound, found.genome, found.cost)

    def _follow(self, labels: Labels) -> IntArray:
        types, stops, label = [], [], int(labels.state[1])
        while label >= 0:
            row, stop, _, label = labels.place[label].tolist()
            types.append(self.rows.type_of[row])
            stops.append(stop)
        return self.space.genome(np.array(types), np.array(stops), self.width)
