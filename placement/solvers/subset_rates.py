"""Throughput and bottleneck by caps that ask whether there is a pipeline better than X.

A pipeline with C sequences in flight and micro-batches of b has seconds per token below X exactly when its step takes
less than C X and no stage or link is busy for b X or more. Memory for C and busy time below b X limit single stages, so
the dynamic program finds the least step S under them. When S >= C X, (C, b) holds nothing better; and because
S grows with C and falls with X, a pair that beats X has C > S / X: few pairs are looked at. Lowering X to the value just
found is W. Dinkelbach's iteration ("On nonlinear fractional programming", Management Science 13(7), 1967,
doi:10.1287/mnsc.13.7.492), with bisection where the busy time, not the step, holds X up.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from objectives.additive import step_cost

from .base import Proposal
from .subset_search import Answer, Question
from .subset_work import SLACK, Search, follow, lowered

# Bisection narrows down to this ratio; steps of Dinkelbach do the rest.
NEAR = 1e-3


def best_throughput(search: Search) -> Generator[Proposal, None, None]:
    """Prove the best throughput."""
    sizes = range(len(search.problem.tables.batches) - 1, -1, -1)
    loose = np.inf
    for size in sizes:
        loose = min(loose, (yield from _pairs(search, size)))
        yield search.tell()
    proven = _target(search) if search.genome is not None else np.inf
    yield search.tell(search.rate * min(proven, loose * (1 - SLACK)))


def _target(search: Search) -> float:
    """Seconds per token that a better pipeline has at most."""
    return min(search.cost / search.rate * (1 - SLACK), search.most_rate * (1 + 1e-12))


def _ask(search: Search, size: int, in_flight: int, most: int, target: float) -> Generator[Proposal, None, Answer]:
    """Least step of pipelines whose memory holds `in_flight`, if it is of interest for at most `most` in flight."""
    cost = step_cost(search.problem.tables, size)
    caps = search.caps(in_flight, (size, size, target))
    return (yield from follow(search, Question(cost, caps, search.limits, most * target)))


def _pairs(search: Search, size: int) -> Generator[Proposal, None, float]:
    """Search one micro-batch size; return seconds per token below which nothing was left open."""
    tables = search.problem.tables
    most, in_flight, loose = tables.concurrency, int(tables.batches[size]), np.inf
    while in_flight <= most:
        target = _target(search)
        answer = yield from _ask(search, size, in_flight, most, target)
        if answer.bound >= most * target:
            break
        step, better = answer.bound, _target(search)
        if step < in_flight * better:
            if not answer.solved or better >= target:
                # Not settled: what is left of this pair is at least its bound.
                loose = min(loose, step / most)
                in_flight += 1
                continue
            yield from _bisect(search, size, in_flight, step / in_flight)
        else:
            in_flight = max(in_flight + 1, int(np.floor(step / better)) + 1)
    return loose


def _bisect(search: Search, size: int, in_flight: int, low: float) -> Generator[Proposal, None, None]:
    """Lower the target of one pair, which nothing below `low` seconds per token can meet."""
    while low < _target(search) * (1 - NEAR):
        middle = (low + _target(search)) / 2
        answer = yield from _ask(search, size, in_flight, in_flight, middle)
        if answer.bound >= in_flight * middle or _target(search) > middle:
            low = middle


def best_bottleneck(search: Search) -> Generator[Proposal, None, None]:
    """Prove the least bottleneck by bisection."""
    low, cost = 0.0, step_cost(search.problem.tables, 0)
    if search.genome is None:
        answer = yield from follow(search, Question(cost, search.caps(), search.limits))
        if answer.genome is None:
            yield search.tell(answer.bound if answer.bound == np.inf else -np.inf)
            return
    while low < search.cost / search.peak * (1 - SLACK):
        top = search.cost / search.peak
        middle = (low + top) / 2 if top - low > 1e-7 * top else top * (1 - SLACK)
        answer = yield from follow(search, Question(cost, search.caps(1, (0, 0, middle)), search.limits))
        if answer.bound == np.inf:
            low = middle
        elif search.cost / search.peak > middle * (1 + 1e-11):
            # The limits left this open.
            break
        yield search.tell(search.peak * lowered(low))
