"""Orders of stages that the estimate cannot tell apart: the one that serves most in the simulation is taken.

Parts of a wave of requests that go through different nodes of a stage meet again behind it where the nodes are equally
fast and idle, and do not where they are busy. So the order of the same stages decides how large waves get. The estimate
hardly sees it, the simulation does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.spans import Span
from placement.simulate.closed_loop import simulate

from .problem import ReplicatedProblem

FEWEST_STAGES = 6  # a chain of fewer leaves waves little room to part and meet
MOST_NODES = 200  # beyond, simulations take longer than people wait after a search
APART = 0.02  # the estimate says nothing about orders nearer than this; what the chosen one must serve more
DRAWN, SIMULATED, REQUESTS = 200, 8, 300
LEAST_TOKENS_PER_S = 0.1  # whatever serves less is simulated for no longer than what serves so many


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order of the stages that serves more.

    Attributes
    ----------
    spans : tuple of Span
    before, after : float
        Output tokens/s in the simulation of the order that was found, and of this one.
    """

    spans: tuple[Span, ...]
    before: float
    after: float


def better_order(problem: ReplicatedProblem, spans: Sequence[Span], rng: np.random.Generator) -> Ordered | None:
    """Look for an order of the same stages that serves more in the simulation, if there is a clear one.

    Parameters
    ----------
    problem : ReplicatedProblem
        Its objective is served throughput.
    spans : sequence of Span
    rng : numpy Generator
        Draws the orders, and the requests, which are the same for all of them.
    """
    stages = stages_of(spans, problem.tables.n_blocks)
    if not len(stages) >= FEWEST_STAGES or len(spans) > MOST_NODES:
        return None
    first = tuple(spans)
    near = _near(problem, first, [_laid(stages, rng.permutation(len(stages)).tolist()) for _ in range(DRAWN)])
    seed = int(rng.integers(1 << 31))
    served = [
        served_in_simulation(problem, order, np.random.default_rng(seed), REQUESTS)
        for order in (first, *near[:SIMULATED])
    ]
    best = int(np.argmax(served))
    return Ordered(near[best - 1], served[0], served[best]) if served[best] > served[0] * (1.0 + APART) else None


def stages_of(spans: Sequence[Span], n_blocks: int) -> list[list[Span]]:
    """Spans by stage in their order, where each stage begins where the one before ends; empty where they do not."""
    stages: list[list[Span]] = []
    at = 0
    while at < n_blocks:
        stage = [span for span in spans if span.start == at]
        if not stage or {span.stop for span in stage} != {stage[0].stop}:
            return []
        stages.append(stage)
        at = stage[0].stop
    return stages if sum(map(len, stages)) == len(spans) else []


def _laid(stages: Sequence[Sequence[Span]], order: Sequence[int]) -> tuple[Span, ...]:
    """The stages one behind the other in another order."""
    spans, at = [], 0
    for k in order:
        size = stages[k][0].stop - stages[k][0].start
        spans += [Span(span.node, at, at + size) for span in stages[k]]
        at += size
    return tuple(spans)


def _near(
    problem: ReplicatedProblem, first: tuple[Span, ...], orders: Sequence[tuple[Span, ...]]
) -> list[tuple[Span, ...]]:
    """Those that keep all rules and are estimated to serve about as much as the first."""
    costs, broken = problem.evaluate(np.array([problem.encode(order) for order in (first, *orders)]))
    most = costs[0] * (1.0 + APART)
    return [order for order, cost, bad in zip(orders, costs[1:], broken[1:], strict=True) if bad == 0 and cost <= most]


def served_in_simulation(
    problem: ReplicatedProblem, spans: Sequence[Span], rng: np.random.Generator, requests: int
) -> float:
    """Output tokens/s in the simulation of about so many requests, after a third as many of warm-up."""
    service = problem.details(spans)[0].service
    seconds = requests * problem.tables.output_tokens / max(service.tokens_per_s, LEAST_TOKENS_PER_S)
    return simulate(problem.tables, spans, service.weights, rng, warm_s=seconds / 3, seconds=seconds).tokens_per_s
