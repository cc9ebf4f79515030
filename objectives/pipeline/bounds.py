"""Lower bounds on the cost of every feasible pipeline, so that every result carries a proven gap.

- Sums (latency, time to first token, request time, energy, rent, and weighted sums of them): the Lagrangian relaxation
  of `relaxation.py`. It knows hops, memory, cuts, pins and caps exactly; that a node is used once, limits on sums, rent
  and the number of nodes through multipliers.
  Beside it a covering bound: each node used takes the cheapest blocks that fit it, wherever they lie, and its cheapest
  hop; whole blocks, and each node once, by dynamic programming over nodes x blocks; and the same with regions
  (`region_bounds.py`), in which somebody must come in from outside. The largest counts.
- Rounds: the parts of the search space (micro-batch sizes x sequences in flight) are bounded apart, each by the
  largest X for which the relaxation still says that a round takes C X or more when stages and links are busy for at
  most X per sequence; the part with the least bound is split until the effort is spent. Little's law: see `rounds.py`.
- Bottleneck: the largest X for which multipliers prove that stages busy for at most X do not hold all the blocks.
- Mixes: the larger of the sum of the parts' bounds and the bound of the sum, the round trip standing in for a rate.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..combine import RATES, Objective
from .additive import ADDITIVE, Additive, Limit, round_cost, step_cost, term_cost, weighted_cost
from .node_types import Busy, Caps, busy_sums
from .relaxation import Multipliers, Relaxation, Relaxed
from .rounds import Rounds
from .tables import CostTables

# Elementary steps of all walks together: about a nanosecond and a half each.
EFFORT = 2.5e8
SLACK = 2e-10


def lower_bound(tables: CostTables, objective: Objective, effort: float = EFFORT) -> float:
    """Return a proven lower bound on the cost (the weighted sum of the terms) of every feasible pipeline.

    Parameters
    ----------
    effort : float
        Work to spend, in elementary steps of about a nanosecond.

    Returns
    -------
    float
        In the unit of the cost; infinite when it is proven that no pipeline is feasible.
    """
    bounds = _Bounds(tables, objective, effort)
    weights = objective.weights
    rate, peak = weights.get(bounds.name, 0.0), weights.get("bottleneck", 0.0)
    sums = any(name in ADDITIVE for name in weights)
    parts = sums + (rate > 0) + (peak > 0)
    total = 0.0
    if sums:
        total += bounds.sums(weights, effort / parts)
    if rate:
        least = bounds.rate(effort / parts)
        total += rate * least
        if sums:
            total = max(total, bounds.beside(weights, rate, least, effort / parts, rate=True))
    if peak:
        low = bounds.peak(effort / parts)
        total += peak * low
        if sums:
            total = max(total, bounds.beside(weights, peak, low, effort / parts))
    if rate and parts > 1:
        total = max(total, bounds.mixed(weights, rate, effort / parts))
    return float(total - SLACK * abs(total)) if np.isfinite(total) else float(total)


def rate_name(objective: Objective) -> str:
    """The rate that an objective weighs, or else limits; empty where it does neither."""
    named = [name for names in (objective.weights, objective.limits) for name in RATES if name in names]
    return named[0] if named else ""


@dataclass(order=True)
class _Part:
    """Micro-batch sizes and sequences in flight from ... to, with a bound on their seconds per token."""

    bound: float
    sizes: tuple[int, int]
    flight: tuple[int, int]
    multipliers: Multipliers = field(compare=False)


class _Bounds:
    def __init__(self, tables: CostTables, objective: Objective, effort: float) -> None:
        self.tables, limits = tables, objective.limits
        self.relaxation = Relaxation(tables, len(tables.ties) if tables.contiguous else 0)
        self.relaxation.budget = 2 * effort
        names = [name for name in ADDITIVE if name in limits]
        self.limits = [Limit(term_cost(tables, name), limits[name]) for name in names]
        self.busy: tuple[Busy, ...] = ()
        # One rate is followed; a second one in a mix counts as 0, and its limit for nothing.
        self.name = rate_name(objective) or RATES[0]
        self.rates, self.steps_alone = tables.rounds(self.name), tables.rounds("decode_rate")
        last = int(np.searchsorted(tables.batches, tables.concurrency, side="right")) - 1
        self.last = max(0, last)
        self.stages = tables.stage_limit
        self.flying = self.most_flying(tables.concurrency, self.last)
        if "bottleneck" in limits:
            self.busy += (Busy(self.steps_alone, 0, 0, limits["bottleneck"]),)
        if self.name in limits:
            most = 1.0 / limits[self.name]
            self.busy += (Busy(self.rates, 0, self.last, most),)
            self.limits.append(Limit(self.round(), self.flying * most))

    def most_flying(self, in_flight: int, last: int) -> int:
        """Sequences under way at most in micro-batches up to a size."""
        most = self.stages * int(self.tables.batches[last])
        return min(in_flight, most) if self.rates.staged else in_flight

    def round(self) -> Additive:
        """A round trip at any micro-batch size: seconds by sequence are least with all of them in flight."""
        return round_cost(self.tables, self.rates, (0, self.last), self.flying)

    def steps(self, effort: float) -> int:
        """How many walks that much work buys."""
        return int(np.clip(effort / self.relaxation.effort, 3, 400))

    def sums(self, weights: Mapping[str, float], effort: float) -> float:
        """Bound the weighted sums alone."""
        question = Relaxed(weighted_cost(self.tables, weights), Caps(1, self.busy), tuple(self.limits))
        walks = self.relaxation.bound(question, self.relaxation.fresh(), self.steps(effort))
        return max(walks, self.relaxation.covering_regions(question))

    def mixed(self, weights: Mapping[str, float], rate: float, effort: float) -> float:
        """Bound the sums and, in place of a rate, a round trip shared by all the sequences that may be in flight."""
        share = self.round() * (rate / self.flying)
        question = Relaxed(weighted_cost(self.tables, weights) + share, Caps(1, self.busy), tuple(self.limits))
        return self.relaxation.bound(question, self.relaxation.fresh(), self.steps(effort))

    def peak(self, effort: float) -> float:
        """Bound the bottleneck of single sequences by bisection."""
        low = self.capacity(self.steps_alone, 0, 0)
        high, top = low, np.inf
        share = self.steps(effort) // 12 + 3
        for _ in range(14):
            if self.relaxation.work > self.relaxation.budget:
                break
            trial = 1.3 * high if top == np.inf else (low + top) / 2
            if self.too_tight(trial, share):
                low = high = trial
            else:
                top = trial
            if np.isfinite(top) and top - low <= 1e-4 * top:
                break
        return low

    def beside(
        self, weights: Mapping[str, float], factor: float, low: float, effort: float, *, rate: bool = False
    ) -> float:
        """Bound sums and bottleneck (or seconds per token) together.

        Within a range of the latter, the sums are bounded under its upper end, and it counts at its lower end; the
        range with the least bound is split.
        """
        steps, last = self.steps(effort / 16), self.last if rate else 0
        rates = self.rates if rate else self.steps_alone
        cost, step = weighted_cost(self.tables, weights), self.round() if rate else step_cost(self.tables, 0)
        multipliers = self.relaxation.fresh()
        free = self.relaxation.bound(Relaxed(cost, Caps(1, self.busy), tuple(self.limits)), multipliers, steps)
        multipliers.limit = None
        heap = [(free + factor * low, low, np.inf, free)]
        for _ in range(16):
            if self.relaxation.work > self.relaxation.budget:
                break
            bound, low, high, sums = heapq.heappop(heap)
            if not np.isfinite(bound):
                return bound
            middle = 1.25 * low if high == np.inf else (low + high) / 2
            limits = (*self.limits, Limit(step, self.flying * middle)) if rate else tuple(self.limits)
            caps = Caps(1, (*self.busy, Busy(rates, 0, last, middle)))
            under = max(sums, self.relaxation.bound(Relaxed(cost, caps, limits), replace(multipliers), steps))
            heapq.heappush(heap, (under + factor * low, low, middle, under))
            heapq.heappush(heap, (sums + factor * middle, middle, high, sums))
        return heap[0][0]

    def too_tight(self, most: float, steps: int) -> bool:
        """Tell whether it is proven that stages busy for at most `most` seconds cannot hold all the blocks."""
        tables, relaxation = self.tables, self.relaxation
        caps = Caps(1, (*self.busy, Busy(self.steps_alone, 0, 0, most)))
        nothing = term_cost(tables, "price") * 0.0
        multipliers = relaxation.fresh()
        if tables.contiguous:
            longest = relaxation.longest(nothing, caps) / tables.n_blocks
            ranked = np.sort(np.repeat(longest, relaxation.counts.astype(np.int64)))[::-1]
            multipliers.node = float(ranked[tables.max_nodes]) if tables.max_nodes < len(ranked) else 0.0
            multipliers.use = np.maximum(0.0, longest - multipliers.node)
        return relaxation.bound(Relaxed(nothing, caps, tuple(self.limits), 1e-9), multipliers, steps) >= 1e-9

    def capacity(self, rates: Rounds, first: int, last: int) -> float:
        """Bound busy seconds per sequence: the work, priced by block, over what the nodes do of it in a second."""
        tables, heads = self.tables, self.relaxation.heads
        seconds = np.stack([np.diff(busy_sums(tables, i, rates, first, last)) for i in heads.tolist()])
        seconds = np.where(tables.allowed[heads], seconds, np.inf)
        alone = float(seconds.min(axis=0).max())
        prices = seconds.min(axis=0)
        if not np.isfinite(alone) or not (seconds > 0).all():
            return alone
        return max(alone, float(prices.sum() / ((prices / seconds).max(axis=1) @ self.relaxation.counts)))

    def rate(self, effort: float) -> float:
        """Bound seconds per token: split the part with the least bound as long as there is effort to spend."""
        begun = self.relaxation.work
        share = effort / (24 if self.flying > 1 else 1)
        root = _Part(0.0, (0, self.last), (1, self.flying), self.relaxation.fresh())
        self.raise_part(root, share)
        step = Relaxed(self.round(), Caps(1, self.busy), tuple(self.limits))
        root.bound = max(root.bound, self.relaxation.covering_regions(step) / self.flying)
        heap = [root]
        while self.relaxation.work - begun < effort:
            part = heapq.heappop(heap)
            children = self.split(part)
            if not children or part.bound == np.inf:
                return part.bound
            for child in children:
                self.raise_part(child, share)
                heapq.heappush(heap, child)
        return heap[0].bound

    def split(self, part: _Part) -> list[_Part]:
        """Halve the range that loosens the bound more: sequences in flight, or micro-batch sizes."""
        (first, last), (low, high) = part.sizes, part.flight
        spread = float(self.rates.short_s[last].sum() / max(self.rates.short_s[first].sum(), 1e-300))
        batches = self.tables.batches
        copies = [replace(part, multipliers=replace(part.multipliers)) for _ in range(2)]
        if low < high and (high / low >= spread or first == last):
            middle = max(low, int(np.sqrt(low * high)))
            copies[0].flight, copies[1].flight = (low, middle), (middle + 1, high)
            copies[0].sizes = (first, min(last, int(np.searchsorted(batches, middle, side="right")) - 1))
        elif first < last:
            middle = (first + last) // 2
            copies[0].sizes, copies[1].sizes = (first, middle), (middle + 1, last)
            copies[1].flight = (max(low, int(batches[middle + 1])), high)
        else:
            return []
        return [copy for copy in copies if copy.flight[0] <= copy.flight[1] and copy.sizes[0] <= copy.sizes[1]]

    def raise_part(self, part: _Part, effort: float) -> None:
        """Raise the bound of a part: the largest X at which its relaxed round still takes C X."""
        (first, last), (low, high) = part.sizes, part.flight
        high = self.most_flying(high, last)
        if high < low:
            part.bound = np.inf
            return
        # One sequence: its round is longer than any of its stages is busy, so caps add nothing.
        steps = max(3, self.steps(effort) // (6 if high > 1 else 1))
        cost, limits = round_cost(self.tables, self.rates, (first, last), high), tuple(self.limits)
        part.bound = max(part.bound, self.capacity(self.rates, first, last))
        free = Relaxed(cost, Caps(low, self.busy), limits)
        part.bound = max(part.bound, self.relaxation.bound(free, part.multipliers, steps) / high)
        trial, top = part.bound, np.inf
        for _ in range(5 if high > 1 else 0):
            if not np.isfinite(trial) or self.relaxation.work > self.relaxation.budget:
                return
            caps = Caps(low, (*self.busy, Busy(self.rates, first, last, trial)))
            target = high * trial * (1 + 1e-9)
            found = self.relaxation.bound(Relaxed(cost, caps, limits, target), part.multipliers, steps) / high
            part.bound = max(part.bound, min(trial, found))
            if found >= trial:
                trial = 1.25 * trial if top == np.inf else (part.bound + top) / 2
            else:
                top = trial
                trial = (part.bound + top) / 2
            if np.isfinite(top) and top - part.bound <= 1e-3 * top:
                return
