"""Stages that go round the nodes: part i belongs to rank i modulo the number of ranks (virtual stages)."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..plan.plan import PlacedSpan
from .base import Source, merged, named_nodes


def round_nodes(source: Source, parts: int) -> list[str]:
    """The node of each part; the parts are a multiple of the nodes."""
    nodes = named_nodes(source)
    if not nodes or parts % len(nodes):
        raise InputError(f"the split has {parts} stages, which is no multiple of the {len(nodes)} nodes")
    return [nodes[part % len(nodes)] for part in range(parts)]


def from_bounds(bounds: Sequence[int], nodes: Sequence[str]) -> tuple[PlacedSpan, ...]:
    """Spans between rising block numbers; empty parts are left out."""
    if list(bounds) != sorted(bounds):
        raise InputError(f"expected rising boundaries, got {', '.join(map(str, bounds))}")
    pairs = zip(nodes, bounds, bounds[1:], strict=False)
    return merged([PlacedSpan(node, start, stop) for node, start, stop in pairs if stop > start])
