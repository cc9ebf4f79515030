"""Spans with the names of nodes, as spans of node numbers."""

from __future__ import annotations

from collections.abc import Sequence

from objectives.spans import Span
from placement.errors import InputError, nearest
from placement.plan.plan import PlacedSpan
from placement.question.request import Request


def numbered_spans(placement: Sequence[PlacedSpan], request: Request, n_blocks: int | None = None) -> list[Span]:
    """Spans of node numbers in block order, every block exactly once, neighbours on one node as one.

    Parameters
    ----------
    placement : sequence of PlacedSpan
    request : Request
        Whose nodes and blocks they are.
    n_blocks : int, optional
        How many blocks the plan says it has.

    Raises
    ------
    InputError
        A node is unknown, or a block has no holder or two.
    """
    model, names = request.model, request.cluster.names
    if n_blocks is not None and n_blocks != model.n_blocks:
        raise InputError(f"the plan is for {n_blocks} blocks, the model {model.name} has {model.n_blocks}")
    spans: list[Span] = []
    reached = 0
    for span in sorted(placement, key=lambda span: span.start):
        if span.node not in names:
            raise InputError(f"the plan uses node '{span.node}', which the cluster lacks{nearest(span.node, names)}")
        if span.start != reached or span.stop <= span.start:
            raise InputError(f"expected the next span to start at block {reached}, got {span.start}:{span.stop}")
        node = names.index(span.node)
        if spans and spans[-1].node == node:
            spans[-1] = Span(node, spans[-1].start, span.stop)
        else:
            spans.append(Span(node, span.start, span.stop))
        reached = span.stop
    if reached != model.n_blocks:
        raise InputError(f"the spans end at block {reached}, the model {model.name} has {model.n_blocks} blocks")
    return spans
