"""Requests to problems, and running plans to starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from objectives.pipeline.terms import Terms
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.errors import InputError, nearest
from placement.plan.plan import PlacedSpan, Plan
from placement.question.request import Request

from .problem import PipelineProblem

IntArray = npt.NDArray[np.int64]


def problem_of(request: Request, custom: Callable[[Terms], float] | None = None) -> PipelineProblem:
    """Return the problem that solvers see."""
    return PipelineProblem(build_tables(request), request.objective, custom)


def with_start(problem: PipelineProblem, request: Request, plan: Plan | None, *, constructive: bool = True) -> IntArray:
    """Starts of a search: the plan given, if any, then the constructive ones (yardsticks go without)."""
    starts = problem.starts() if constructive else np.empty((0, problem.genome_size), dtype=np.int64)
    if plan is None:
        return starts
    spans = checked_spans(plan.placement, request, plan.n_blocks)
    try:
        return np.concatenate([problem.encode(spans)[None, :], starts])
    except ValueError as error:  # more runs than this problem's genomes hold
        raise InputError(f"the plan to begin from does not suit this problem: {error}", "start") from None


def checked_spans(placement: tuple[PlacedSpan, ...], request: Request, n_blocks: int | None = None) -> list[Span]:
    """Named spans in block order as spans of node numbers; every block exactly once, or an `InputError`."""
    model, names = request.model, request.cluster.names
    if n_blocks is not None and n_blocks != model.n_blocks:
        raise InputError(f"the plan is for {n_blocks} blocks, the model {model.name} has {model.n_blocks}")
    spans, reached = [], 0
    for span in sorted(placement, key=lambda span: span.start):
        if span.node not in names:
            raise InputError(f"the plan uses node '{span.node}', which the cluster lacks{nearest(span.node, names)}")
        if span.start != reached or span.stop <= span.start:
            raise InputError(f"expected the next span to start at block {reached}, got {span.start}:{span.stop}")
        spans.append(Span(names.index(span.node), span.start, span.stop))
        reached = span.stop
    if reached != model.n_blocks:
        raise InputError(f"the spans end at block {reached}, the model {model.name} has {model.n_blocks} blocks")
    return spans
