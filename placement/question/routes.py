"""Chains through a swarm, as a question."""

from __future__ import annotations

from dataclasses import dataclass, field

from objectives.combine import Objective
from objectives.routes.swarm import Shape, Swarm
from objectives.routes.terms import ROUTES

from ..errors import InputError, shown

SHAPES = ("star", "chain")
PRECISION = 0.02
TRADE = Objective.of(("latency", "throughput"), None, ROUTES)


@dataclass(frozen=True, slots=True)
class RoutesQuestion:
    """Which chains through a swarm are best.

    Attributes
    ----------
    swarm : Swarm
    shape : str
        "star": every server answers the client, as released Petals runs; "chain": servers hand over to each other.
    precision : float
        Of fronts of three objectives: the part by which a chain may be above the exact front in its costs; at least 0,
        below 1. Real-valued prices make exact fronts of thousands of chains.
    objective : Objective
        Over the terms of `ROUTES`, with limits.
    """

    swarm: Swarm
    shape: Shape = "star"
    precision: float = PRECISION
    objective: Objective = field(default_factory=lambda: TRADE)

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise InputError(f"expected 'star' or 'chain', got {shown(self.shape)}", "shape")
        if not 0.0 <= self.precision < 1.0:
            raise InputError(f"expected a part of at least 0 and below 1, got {self.precision}", "precision")
