"""Replicated placements in the words of exporters, which read plans of embedding, decoder layers and head."""

from __future__ import annotations

from ..kinds.replicated.plan import ReplicatedPlan
from ..plan.plan import Figures, Limiter, PlacedSpan, Plan
from .base import EMBED, HEAD


def exportable(plan: ReplicatedPlan) -> Plan:
    """The spans as a plan that runtimes can check and write.

    Where the model is decoder layers alone, embedding and head go with the first and the last layer: a client has them.
    """
    names, spans, blocks = plan.block_names, plan.placement, plan.n_blocks
    if names and EMBED not in names and HEAD not in names:
        names = (EMBED, *names, HEAD)
        spans = tuple(
            PlacedSpan(span.node, span.start + (span.start > 0), span.stop + 1 + (span.stop == blocks))
            for span in spans
        )
        blocks += 2
    figures = plan.figures
    return Plan(
        status=plan.status,
        model=plan.model,
        n_blocks=blocks,
        block_names=names,
        placement=spans,
        objective=plan.objective,
        figures=Figures(
            time_per_token_s=figures.time_per_token_s,
            ttft_s=figures.ttft_s,
            tokens_per_s=figures.served_tokens_per_s,
            request_time_s=0.0,
            price_per_hour=figures.price_per_hour,
            energy_per_token_j=0.0,
            in_flight=int(figures.in_flight),
        ),
        nodes=(),
        bottleneck=Limiter("", "", 0.0),
        solver=plan.solver,
        seed=plan.seed,
        kind=plan.kind,
        notes=plan.notes,
        version=plan.version,
    )
