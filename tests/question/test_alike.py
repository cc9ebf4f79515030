"""Nodes of one kind have the same figures, whatever their names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from placement.question.alike import kinds_of_nodes
from placement.question.cluster import Node

BASE = Node("a", 24e9, compute_flops_per_s={"bfloat16": 1e14}, memory_bandwidth_bytes_per_s=1e12)


def test_equal_figures_in_other_mappings_are_one_kind() -> None:
    """A mapping with the same figures makes the same kind, also where it is another object."""
    twin = replace(BASE, name="b", compute_flops_per_s={"bfloat16": 1e14})
    assert kinds_of_nodes([BASE, twin, replace(BASE, name="c", region="far")]) == [0, 0, 0]


@pytest.mark.parametrize(
    "change",
    [
        {"memory_bytes": 25e9},
        {"compute_flops_per_s": {"bfloat16": 2e14}},
        {"decode_table": {1: (0.1,)}},
        {"tensor_parallel": 2},
    ],
)
def test_other_figures_are_another_kind(change: dict[str, object]) -> None:
    """Whatever changes a cost makes another kind; kinds are numbered as they come."""
    assert kinds_of_nodes([BASE, replace(BASE, name="b", **change), BASE]) == [0, 1, 0]  # type: ignore[arg-type]


def test_what_counts_can_be_said() -> None:
    """The region makes a kind of its own where it is not ignored."""
    assert kinds_of_nodes([BASE, replace(BASE, region="far")], ("name",)) == [0, 1]
