"""Random plans of every shape that some runtime can hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from placement.export.base import merged
from placement.plan.plan import Figures, Limiter, NodeUse, ObjectiveValue, PlacedSpan, Plan

NAMES = ("tower-0", "tower-1", "mac", "box", "old laptop", "ünit", "n6", "n7")
SHAPES = ("plain", "cuts", "cyclic", "any", "ring", "windows")


def plan_of(spans: Sequence[PlacedSpan], n_layers: int, nodes: Sequence[str] = NAMES) -> Plan:
    """A plan whose figures are of no interest."""
    return Plan(
        status="solved",
        model="m",
        n_blocks=n_layers + 2,
        block_names=("embed", *(f"layer.{k}" for k in range(n_layers)), "head"),
        placement=tuple(spans),
        objective=ObjectiveValue("latency", 1.0, "s", "minimize", None, None, False),
        figures=Figures(),
        nodes=tuple(NodeUse(name, 1.0, 1.0, 1.0) for name in nodes),
        bottleneck=Limiter("node", nodes[0], 1.0),
    )


def owners(plan: Plan) -> list[str]:
    """The node of every block."""
    held = [""] * plan.n_blocks
    for span in plan.placement:
        held[span.start : span.stop] = [span.node] * (span.stop - span.start)
    return held


def from_owners(held: Sequence[str]) -> Plan:
    """A plan from the node of every block."""
    spans = merged([PlacedSpan(node, block, block + 1) for block, node in enumerate(held)])
    return plan_of(spans, len(held) - 2)


def random_plan(rng: np.random.Generator, shape: str) -> Plan:
    """A plan of 1 to 8 nodes.

    "plain": one run per node, the ends with their layers; "cuts": one run per node, cut anywhere; "cyclic": the
    stages go round; "any": every block for itself; "ring": the embedding beside the head; "windows": the same
    with equal cycles.
    """
    nodes = [str(name) for name in rng.permutation(NAMES)[: int(rng.integers(1, len(NAMES) + 1))]]
    size, n_layers = len(nodes), int(rng.integers(len(nodes), 60))
    if shape == "any":
        return from_owners([str(name) for name in rng.choice(nodes, n_layers + 2)])
    if shape == "windows":
        windows, cycles = rng.integers(1, 6, size), int(rng.integers(1, 4))
        order = [name for name, window in zip(nodes, windows.tolist(), strict=True) for _ in range(window)] * cycles
        return from_owners([nodes[-1], *order, nodes[-1]])
    rounds = int(rng.integers(1, 4)) if shape == "cyclic" else 1
    total = n_layers + 2 if shape in ("cuts", "cyclic") else n_layers
    parts = min(size * rounds, total // size * size)
    bounds = [0, *sorted(rng.choice(np.arange(1, total), parts - 1, replace=False).tolist()), total]
    held = [nodes[k % size] for k in range(parts) for _ in range(bounds[k + 1] - bounds[k])]
    if shape == "plain":
        held = [held[0], *held, held[-1]]
    if shape == "ring":
        held = [held[-1], *held, held[-1]]
    return from_owners(held)
