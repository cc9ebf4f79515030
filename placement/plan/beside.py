"""Two plans side by side: their figures, and what must be loaded to go from the first to the second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .plan import Plan


@dataclass(frozen=True, slots=True)
class Loaded:
    """Blocks that a node holds in the second plan and not in the first, and their bytes (None: not known)."""

    node: str
    blocks: tuple[int, ...]
    n_bytes: float | None


@dataclass(frozen=True, slots=True)
class Beside:
    """Two plans of one model.

    Attributes
    ----------
    figures : mapping of str to (float or None, float or None)
        Of both plans; None where one lacks a figure.
    loads : tuple of Loaded
        By node, in the second plan's order.
    dropped : mapping of str to int
        Blocks that a node holds in the first plan only.
    """

    first: Plan
    second: Plan
    figures: Mapping[str, tuple[float | None, float | None]]
    loads: tuple[Loaded, ...]
    dropped: Mapping[str, int]

    @property
    def moved_bytes(self) -> float | None:
        """Bytes to load; None where the plans do not say what a block weighs."""
        known = [load.n_bytes for load in self.loads]
        return sum(n for n in known if n is not None) if None not in known else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "figures": {name: list(pair) for name, pair in self.figures.items()},
            "loads": [{"node": load.node, "blocks": list(load.blocks), "bytes": load.n_bytes} for load in self.loads],
            "dropped": dict(self.dropped),
            "moved_blocks": sum(len(load.blocks) for load in self.loads),
            "moved_bytes": self.moved_bytes,
            "version": self.second.version,
        }


def beside(first: Plan, second: Plan) -> Beside:
    """Put two plans side by side; raise `InputError` where they are not plans of as many blocks."""
    if first.n_blocks != second.n_blocks:
        raise InputError(
            f"expected plans of one model, got one of {first.n_blocks} blocks and one of {second.n_blocks}"
        )
    names = dict.fromkeys((*first.figures, *second.figures))
    before, after = held(first), held(second)
    weights = next((plan.picture.block_bytes for plan in (second, first) if plan.picture is not None), ())
    loads = []
    for node, blocks in after.items():
        new = tuple(sorted(blocks - before.get(node, set())))
        if new:
            known = len(weights) == second.n_blocks
            loads.append(Loaded(node, new, sum(weights[block] for block in new) if known else None))
    dropped = {node: len(blocks - after.get(node, set())) for node, blocks in before.items()}
    return Beside(
        first,
        second,
        {name: (first.figures.get(name), second.figures.get(name)) for name in names},
        tuple(loads),
        {node: count for node, count in dropped.items() if count},
    )


def held(plan: Plan) -> dict[str, set[int]]:
    """The blocks of each node."""
    found: dict[str, set[int]] = {}
    for span in plan.placement:
        found.setdefault(span.node, set()).update(range(span.start, span.stop))
    return found
