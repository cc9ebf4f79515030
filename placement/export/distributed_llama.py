"""distributed-llama: tensor parallel over 2^n equal shares; a layer placement has no place in it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..plan.plan import PlacedSpan, Plan
from .base import Exported, Holds, Source, Target

WHY = (
    "distributed-llama cannot hold a layer placement: every node gets an equal slice of every layer, on 2^n nodes of "
    "which there are at most as many as KV heads"
)


@dataclass(frozen=True, slots=True)
class DistributedLlama:
    """Refuses every plan, with the reason."""

    name: str = "distributed-llama"
    holds: Holds = Holds(layers=False, groups="one")

    def check(self, plan: Plan) -> list[str]:
        """Always the same reason."""
        return [WHY]

    def write(self, plan: Plan, target: Target) -> Exported:
        """Refuse."""
        raise InputError(WHY)

    def read(self, source: Source) -> tuple[PlacedSpan, ...]:
        """Refuse: there is no split to read."""
        raise InputError("distributed-llama has no layer placement that could be read")
