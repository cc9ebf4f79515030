"""Mixes of sums with a rate or bottleneck, and limits on a rate: branch and bound over ranges of their values.

A node of the tree fixes a micro-batch size and holds ranges of the sequences in flight, of the seconds per token and of
the bottleneck. Within it, the sums are minimised under the upper ends (see `subset_rates.py`) and the rest of the cost
counts at the lower ends; that is a bound, and the ranges shrink until it meets the best cost.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from objectives.combine import TERMS
from objectives.pipeline.additive import Limit, round_cost
from objectives.pipeline.node_types import Busy
from placement.search.solver import Proposal

from .search import Question
from .work import SLACK, Search, follow, lowered

# Ranges that count for less than this, relative, are not cut in halves any more.
NARROW = 1e-3
PEAK = TERMS.index("bottleneck")


@dataclass(frozen=True, order=True)
class Node:
    """Part of the search space, ordered by its bound.

    Attributes
    ----------
    bound : float
        No pipeline in it costs less.
    size : int
        Index of the micro-batch size; -1 when no rate matters.
    flight : tuple of int
        Least and most sequences in flight, multiples of the rate's unit.
    rate, peak : tuple of float
        Least and most seconds per token, and seconds of bottleneck.
    """

    bound: float
    size: int
    flight: tuple[int, int]
    rate: tuple[float, float]
    peak: tuple[float, float]


def best_mix(search: Search) -> Generator[Proposal, None, None]:
    """Prove the optimum of a mix, best bound first; the bound rises all the while."""
    heap = _roots(search)
    settled = np.inf
    while heap:
        node = heapq.heappop(heap)
        lowest = min(node.bound, settled, search.cost)
        yield search.tell(lowered(lowest))
        if node.bound >= search.cost * (1 - SLACK):
            heap = []
            break
        children = yield from _expand(search, node)
        for child in children:
            if child.bound >= search.cost * (1 - SLACK):
                continue
            if replace(child, bound=node.bound) == node:
                # Nothing was found that could tell its parts apart.
                settled = min(settled, child.bound)
            else:
                heapq.heappush(heap, child)
    yield search.tell(lowered(min(settled, search.cost)))


def _roots(search: Search) -> list[Node]:
    tables = search.problem.tables
    peak = (0.0, search.problem.objective.limits.get("bottleneck", np.inf))
    if not search.rate and search.most_rate == np.inf:
        return [Node(0.0, -1, (1, 1), (0.0, 0.0), peak)]
    rate = (0.0, search.most_rate * (1 + 1e-12))
    most = tables.concurrency
    units = [search.rates.unit(b) for b in tables.batches.tolist()]
    return [
        Node(0.0, k, (int(b), most // units[k] * units[k]), rate, peak)
        for k, b in enumerate(tables.batches.tolist())
        if k == 0 or b <= most
    ]


def _expand(search: Search, node: Node) -> Generator[Proposal, None, list[Node]]:
    """Bound a node, score what the bounds came from, and split it."""
    tables, cutoff = search.problem.tables, search.cost
    rate, peak = node.rate, node.peak
    if np.isfinite(cutoff):
        # Beyond these the cost is above the best known, whatever the sums are.
        rate = (rate[0], min(rate[1], cutoff / search.rate)) if search.rate else rate
        peak = (peak[0], min(peak[1], cutoff / search.peak)) if search.peak else peak
    busy = [Busy(search.steps_alone, 0, 0, peak[1])] if search.peak else []
    limits, stages = search.limits, 1
    floor = search.rate * rate[0] + search.peak * peak[0]
    bound = node.bound
    if node.size >= 0:
        # Seconds by sequence fall with their number: with the most of them they are the least.
        step = round_cost(tables, search.rates, (node.size, node.size), node.flight[1])
        stages = search.rates.stages_for(node.flight[0], int(tables.batches[node.size]))
        busy.append(Busy(search.rates, node.size, node.size, rate[1]))
        if np.isfinite(rate[1]):
            limits = (*limits, Limit(step, node.flight[1] * rate[1]))
        if search.rate:
            mixed = search.additive + step * (search.rate / node.flight[1])
            question = Question(mixed, search.caps(node.flight[0], *busy), search.limits, stages=stages)
            answer = yield from follow(search, replace(question, cutoff=search.cost - search.peak * peak[0]))
            bound = max(bound, answer.bound + search.peak * peak[0])
            if bound >= search.cost * (1 - SLACK):
                return []
    question = Question(search.additive, search.caps(node.flight[0], *busy), limits, search.cost - floor, stages=stages)
    answer = yield from follow(search, question)
    bound = max(bound, answer.bound + floor)
    if bound >= search.cost * (1 - SLACK):
        return []
    node = replace(node, bound=bound, rate=rate, peak=peak)
    if answer.genome is None:
        return _split(search, node)
    score = search.consider(answer.genome)
    if bound >= search.cost * (1 - SLACK):
        return []
    pieces = [node]
    if answer.solved and score.violation == 0:
        # Its sums are the least here, so what matches neither of its own values costs more.
        seconds, worst = (float(score.values[k]) * (1 - SLACK) for k in (TERMS.index(search.name), PEAK))
        pieces = []
        if search.rate and rate[0] < seconds:
            pieces.append(replace(node, rate=(rate[0], min(rate[1], seconds))))
        if search.peak and peak[0] < worst:
            low = max(rate[0], seconds) if search.rate else rate[0]
            if low <= rate[1]:
                pieces.append(replace(node, rate=(low, rate[1]), peak=(peak[0], min(peak[1], worst))))
    return [part for piece in pieces for part in _split(search, piece)]


def _split(search: Search, node: Node) -> list[Node]:
    low, high = node.flight
    if low < high:
        unit = search.rates.unit(int(search.problem.tables.batches[node.size])) if node.size >= 0 else 1
        middle = (low + high) // 2 // unit * unit
        return [replace(node, flight=(low, middle)), replace(node, flight=(middle + unit, high))]
    rate = search.rate * (node.rate[1] - node.rate[0])
    peak = search.peak * (node.peak[1] - node.peak[0])
    if not np.isfinite(rate + peak) or rate + peak <= NARROW * abs(search.cost):
        return [node]
    if rate >= peak:
        cut = (node.rate[0] + node.rate[1]) / 2
        return [replace(node, rate=(node.rate[0], cut)), replace(node, rate=(cut, node.rate[1]))]
    cut = (node.peak[0] + node.peak[1]) / 2
    return [replace(node, peak=(node.peak[0], cut)), replace(node, peak=(cut, node.peak[1]))]
