"""Nodes that differ in nothing but names: what is computed for one of them holds for all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from .cluster import Node

WITHOUT_EFFECT = ("name", "region", "host", "joins", "offload", "members", "shares")
"""Fields of a node that change none of its costs."""
MAPPINGS = ("compute_flops_per_s", "decode_table")


def kinds_of_nodes(nodes: Sequence[Node], ignoring: Sequence[str] = WITHOUT_EFFECT) -> list[int]:
    """Return the number of each node's kind, as kinds come: those of one kind differ in ignored fields at most.

    Nodes of one entry share their mappings, so of a thousand most are told apart without a look into these.
    """
    names = [field.name for field in fields(Node) if field.name not in (*MAPPINGS, *ignoring)]
    figures_of, mappings_of = attrgetter(*names), attrgetter(*MAPPINGS)
    by_look: dict[Hashable, int] = {}
    by_figures: dict[Hashable, int] = {}
    found = []
    for node in nodes:
        plain = figures_of(node)
        look = (plain, *map(id, mappings_of(node)))
        if look not in by_look:
            figures = (plain, *map(_frozen, mappings_of(node)))
            by_look[look] = by_figures.setdefault(figures, len(by_figures))
        found.append(by_look[look])
    return found


def one_of_each(nodes: Sequence[Node], kinds: Sequence[int]) -> list[Node]:
    """Return the first node of every kind, by the kinds' numbers."""
    return [nodes[kinds.index(kind)] for kind in range(max(kinds) + 1)]


def _frozen(values: Mapping[Any, Any]) -> Hashable:
    return tuple(sorted(values.items()))
