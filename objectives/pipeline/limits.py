"""How far a placement is from being allowed: zero means feasible. Never mixed into the cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..combine import TERMS, Objective
from ..spans import Span
from .tables import CostTables
from .terms import Terms, hops, node_sums


@dataclass(frozen=True, slots=True)
class Violation:
    """The parts of a violation.

    Attributes
    ----------
    missing_bytes : tuple of float
        Bytes that each node lacks for its weights and the cache of one sequence.
    counts : dict of str to int
        Broken rules by name: cuts, pins, ties, include, max_nodes, contiguous, links.
    excess : dict of str to float
        Relative excess over each limit that is exceeded.
    total : float
        One number: missing bytes over the mean capacity, plus counts, plus excesses.
    """

    missing_bytes: tuple[float, ...]
    counts: dict[str, int]
    excess: dict[str, float]
    total: float


def violation(tables: CostTables, objective: Objective, spans: Iterable[Span], terms: Terms) -> Violation:
    """Measure every broken rule of a pipeline placement; reference for the kernels."""
    spans = list(spans)
    need = node_sums(tables, spans, tables.weight_bytes + tables.kv_bytes)
    # An exact fit counts as a fit, whatever the order of the sums.
    missing = np.maximum(need - tables.capacity_bytes * (1 + 1e-12) - 1e-6, 0.0)
    missing[need == 0] = 0.0
    limits = objective.limit_vector()
    excess = {
        name: terms.values[name] / limit - 1.0
        for name, limit in zip(TERMS, limits, strict=True)
        if terms.values[name] > limit * (1 + 1e-12)
    }
    counts = {name: number for name, number in _counts(tables, spans).items() if number}
    scale = max(float(tables.capacity_bytes.mean()), 1.0)
    total = float(missing.sum()) / scale + sum(counts.values()) + sum(excess.values())
    return Violation(tuple(missing.tolist()), counts, excess, total)


def _counts(tables: CostTables, spans: list[Span]) -> dict[str, int]:
    owner = {block: span.node for span in spans for block in range(span.start, span.stop)}
    used = set(owner.values())
    return {
        "cuts": sum(
            not tables.cut_allowed[right.start] for left, right in itertools.pairwise(spans) if left.node != right.node
        ),
        "pins": sum(not tables.allowed[node, block] for block, node in owner.items()),
        "ties": sum(owner[int(a)] != owner[int(b)] for a, b in tables.ties),
        "include": sum(bool(need) and node not in used for node, need in enumerate(tables.required)),
        "max_nodes": max(0, len(used) - tables.max_nodes),
        "contiguous": _extra_runs(tables, spans) if tables.contiguous else 0,
        "links": sum(tables.bandwidth_bytes_per_s[i, j] <= 0 for i, j, _ in hops(tables, spans)),
    }


def _extra_runs(tables: CostTables, spans: list[Span]) -> int:
    """Runs of a node after its first that no tie to an earlier run of the same node explains."""
    seen: dict[int, list[Span]] = {}
    extra = 0
    for position, span in enumerate(spans):
        if position and spans[position - 1].node == span.node:
            seen[span.node].append(span)
            continue
        earlier = seen.setdefault(span.node, [])
        if earlier and not any(_tied(pair, span, earlier) for pair in tables.ties):
            extra += 1
        earlier.append(span)
    return extra


def _tied(pair: np.ndarray, span: Span, earlier: list[Span]) -> bool:
    a, b = int(pair[0]), int(pair[1])
    return any(
        (span.start <= b < span.stop and other.start <= a < other.stop)
        or (span.start <= a < span.stop and other.start <= b < other.stop)
        for other in earlier
    )
