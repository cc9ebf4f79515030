"""Rounds and bottleneck by caps that ask whether there is a pipeline better than X.

A pipeline with C sequences in flight and micro-batches of b has seconds per token below X exactly when its round trip
takes less than C X and no stage or link is busy for b X or more. Memory for C and busy time below b X limit single
stages, so the dynamic program finds the least round S under them. When S >= C X, (C, b) holds nothing better; and
because S grows with C (memory gets scarce, more passes wait for prompts) and falls with X, a pair that beats X has
C > S / X: few pairs are looked at. Lowering X to the value just found is W. Dinkelbach's iteration ("On nonlinear
fractional programming", Management Science 13(7), 1967, doi:10.1287/mnsc.13.7.492), with bisection where the busy time,
not the round, holds X up.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from objectives.pipeline.additive import round_cost, step_cost
from objectives.pipeline.node_types import Busy
from placement.search.solver import Proposal

from .search import Answer, Question
from .work import SLACK, Search, follow

# Bisection narrows down to this ratio; steps of Dinkelbach do the rest.
NEAR = 1e-3


def best_throughput(search: Search) -> Generator[Proposal, None, None]:
    """Prove the best throughput, or rate of decode steps alone."""
    loose = np.inf
    for family in search.engine.families:
        for size in range(len(search.problem.tables.batches) - 1, -1, -1):
            loose = min(loose, (yield from _Pairs(search, family, size).settle()))
            yield search.tell()
    proven = _target(search) if search.genome is not None else np.inf
    yield search.tell(search.rate * min(proven, loose * (1 - SLACK)))


def _target(search: Search) -> float:
    """Seconds per token that a better pipeline has at most."""
    return min(search.cost / search.rate * (1 - SLACK), search.most_rate * (1 + 1e-12))


@dataclass(frozen=True)
class _Pairs:
    """All numbers of sequences in flight with one micro-batch size, in one family of pipelines."""

    search: Search
    family: int
    size: int

    def ask(self, in_flight: int, most: int, target: float) -> Generator[Proposal, None, Answer]:
        """Least round of pipelines whose memory holds `in_flight`, if it is of interest for at most `most` of them."""
        search = self.search
        cost = round_cost(search.problem.tables, search.rates, (self.size, self.size), in_flight)
        caps = search.caps(in_flight, Busy(search.rates, self.size, self.size, target))
        stages = search.rates.stages_for(in_flight, int(search.problem.tables.batches[self.size]))
        question = Question(cost, caps, search.limits, most * target, stages=stages)
        return (yield from follow(search, question, self.family))

    def settle(self) -> Generator[Proposal, None, float]:
        """Search them all; return seconds per token below which nothing was left open."""
        tables, batch = self.search.problem.tables, int(self.search.problem.tables.batches[self.size])
        most, in_flight, loose = tables.concurrency, batch, np.inf
        unit = self.search.rates.unit(batch)
        while in_flight <= most:
            target = _target(self.search)
            answer = yield from self.ask(in_flight, most, target)
            if answer.bound >= most * target:
                break
            step, better = answer.bound, _target(self.search)
            if step >= in_flight * better:
                in_flight = max(in_flight + 1, int(np.floor(step / better)) + 1)
                in_flight = -(-in_flight // unit) * unit
            elif answer.solved and better < target:
                yield from self.bisect(in_flight, step / in_flight)
            else:
                # Not settled: what is left of this pair is at least its bound.
                loose = min(loose, step / most)
                in_flight += unit
        return loose

    def bisect(self, in_flight: int, low: float) -> Generator[Proposal, None, None]:
        """Lower the target of one pair, which nothing below `low` seconds per token can meet."""
        while low < _target(self.search) * (1 - NEAR):
            middle = (low + _target(self.search)) / 2
            answer = yield from self.ask(in_flight, in_flight, middle)
            if answer.bound >= in_flight * middle or _target(self.search) > middle:
                low = middle


def best_bottleneck(search: Search) -> Generator[Proposal, None, None]:
    """Prove the least bottleneck, family by family: most are dismissed by one question."""
    lowest = np.inf
    for family in search.engine.families:
        lowest = min(lowest, (yield from _least_peak(search, family)))
        yield search.tell()
    proven = search.cost / search.peak * (1 - SLACK)
    yield search.tell(search.peak * min(proven, lowest))


def _least_peak(search: Search, family: int) -> Generator[Proposal, None, float]:
    """Bisect one family; return seconds below which nothing was left open in it."""
    low, cost = 0.0, step_cost(search.problem.tables, 0)
    top = search.cost / search.peak
    middle = top * (1 - SLACK)
    while low < top * (1 - SLACK):
        busy = (Busy(search.steps_alone, 0, 0, middle),) if np.isfinite(middle) else ()
        answer = yield from follow(search, Question(cost, search.caps(1, *busy), search.limits), family)
        if answer.bound == np.inf:
            low = middle
            if low >= top * (1 - SLACK):
                break
        elif not search.cost / search.peak <= middle * (1 + 1e-11):
            # The limits left this open.
            return low
        top = search.cost / search.peak
        middle = (low + top) / 2 if top - low > 1e-7 * top else top * (1 - SLACK)
    return np.inf
