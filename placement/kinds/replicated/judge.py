"""Replicated placements that somebody has already: the one that runs, and those to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from objectives.combine import REPLICATED, Objective
from objectives.replicated.terms import ReplicatedTerms, ReplicatedViolation
from objectives.spans import Span
from placement.errors import InputError, nearest
from placement.plan.plan import PlacedSpan, Plan
from placement.quantities import quantity
from placement.question.case import ReplicatedCase


def numbered_spans(case: ReplicatedCase, placement: Sequence[PlacedSpan]) -> tuple[Span, ...]:
    """Named spans as spans of node numbers; one per node, within the model, or an `InputError`."""
    names, blocks = case.node_names, case.tables.n_blocks
    spans, seen = [], set()
    for span in placement:
        if span.node not in names:
            raise InputError(f"the plan uses node '{span.node}', which the cluster lacks{nearest(span.node, names)}")
        if span.node in seen:
            raise InputError(f"a replicated placement gives every node one span, '{span.node}' has several")
        if not 0 <= span.start < span.stop <= blocks:
            raise InputError(f"expected a span of the {blocks} blocks on '{span.node}', got {span.start}:{span.stop}")
        seen.add(span.node)
        spans.append(Span(names.index(span.node), span.start, span.stop))
    return tuple(sorted(spans, key=lambda span: (span.start, span.stop, span.node)))


def with_running(case: ReplicatedCase, plan: Plan) -> tuple[ReplicatedCase, tuple[Span, ...]]:
    """Return the case with what its nodes hold now, and those spans; nodes that are gone hold nothing."""
    if plan.n_blocks != case.tables.n_blocks:
        raise InputError(f"the plan is for {plan.n_blocks} blocks, the model {case.name} has {case.tables.n_blocks}")
    here = tuple(span for span in plan.placement if span.node in case.node_names)
    if not here:
        raise InputError("none of the nodes of the running plan is in this cluster")
    spans = numbered_spans(case, here)
    running = np.zeros((case.tables.n_nodes, 2), dtype=np.int64)
    for span in spans:
        running[span.node] = span.start, span.stop
    return replace(case, tables=replace(case.tables, running=running)), spans


def rules_broken(
    case: ReplicatedCase, objective: Objective, terms: ReplicatedTerms, found: ReplicatedViolation
) -> tuple[str, ...]:
    """Broken rules in sentences."""
    tables, lines = case.tables, []
    if found.missing:
        short = [block for block, count in enumerate(terms.holders) if count < tables.min_replicas]
        lines.append(f"{len(short)} blocks have fewer than {tables.min_replicas} holders, the first is {short[0]}")
    if found.broken:
        lines.append(f"no chain carries tokens through all blocks: chains reach block {terms.reached}")
    if found.too_long:
        lines.append(f"the longest chain has {terms.depth} nodes, max_stages is {tables.max_stages}")
    if found.too_many:
        lines.append(f"nodes hold {found.too_many} blocks more than fit on them")
    for node, block in found.unmet:
        what = case.block_names[block] if block >= 0 else "something"
        lines.append(f"'{case.node_names[node]}' must hold {what}, and does not")
    if found.spare:
        lines.append(f"{found.spare} nodes more than max_nodes, {tables.max_nodes}, are used")
    for name in found.excess:
        value, unit = REPLICATED.readable(name, terms.values[name]), REPLICATED.units[name]
        lines.append(f"{name} is {quantity(value, unit)}, the limit {quantity(objective.limits[name], unit)}")
    return tuple(lines)
