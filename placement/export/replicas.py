"""Replicated placements in the words of exporters, which read plans of embedding, decoder layers and head."""

from __future__ import annotations

from dataclasses import replace

from ..plan.plan import PlacedSpan, Plan
from .base import EMBED, HEAD


def exportable(plan: Plan) -> Plan:
    """The spans as a plan that runtimes can check and write; one of embedding, layers and head is that already.

    Where the model is decoder layers alone, embedding and head go with the first and the last layer: a client has them.
    """
    names, blocks = plan.block_names, plan.n_blocks
    if not names or EMBED in names or HEAD in names:
        return plan
    spans = tuple(
        PlacedSpan(span.node, span.start + (span.start > 0), span.stop + 1 + (span.stop == blocks))
        for span in plan.placement
    )
    return replace(plan, n_blocks=blocks + 2, block_names=(EMBED, *names, HEAD), placement=spans)
