"""The plan is data: spans by node name, predicted figures, bound, solver, seed, versions. JSON in and out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import plain, write_atomic

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class PlacedSpan:
    """Node `node` holds the blocks ``start <= b < stop``."""

    node: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Predicted figures of a plan.

    Attributes
    ----------
    time_per_token_s : float
        One decode step of a single sequence through all stages and links, in seconds.
    ttft_s : float
        Time to first token of a single prompt.
    tokens_per_s : float
        With `in_flight` sequences in micro-batches of `micro_batch`.
    request_time_s : float
        Prompt and all output tokens of a single sequence.
    price_per_hour : float
        $/h of the nodes used.
    energy_per_token_j : float
        Energy of one decode step of a single sequence, busy nodes only, in J.
    in_flight, micro_batch : int
    """

    time_per_token_s: float
    ttft_s: float
    tokens_per_s: float
    request_time_s: float
    price_per_hour: float
    energy_per_token_j: float
    in_flight: int = 1
    micro_batch: int = 1


@dataclass(frozen=True, slots=True)
class NodeUse:
    """What a plan takes of one node: bytes of its capacity, and busy seconds per micro-batch."""

    name: str
    memory_bytes: float
    memory_used_bytes: float
    busy_s: float


@dataclass(frozen=True, slots=True)
class Limiter:
    """What limits the rate: `kind` "node" or "link", the names, its busy seconds per micro-batch."""

    kind: str
    where: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ObjectiveValue:
    """The objective's value in its unit with a proven bound; gap 0 is optimal, None when there is no bound."""

    name: str
    value: float
    unit: str
    sense: str
    bound: float | None
    gap: float | None
    proven_optimal: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A placement with everything that was predicted about it.

    Attributes
    ----------
    status : str
        "solved", "interrupted" or "infeasible" (then the spans break a rule and say which in `notes`).
    model : str
    n_blocks : int
    block_names : tuple of str
    placement : tuple of PlacedSpan
        In stage order.
    objective : ObjectiveValue
    figures : Figures
    nodes : tuple of NodeUse
    bottleneck : Limiter
    solver, seed, evaluations, seconds, stopped_by
        How it was found.
    notes : tuple of str
        Assumptions and remarks for people.
    """

    status: str
    model: str
    n_blocks: int
    block_names: tuple[str, ...]
    placement: tuple[PlacedSpan, ...]
    objective: ObjectiveValue
    figures: Figures
    nodes: tuple[NodeUse, ...]
    bottleneck: Limiter
    solver: str = ""
    seed: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    stopped_by: str = ""
    kind: str = "pipeline"
    notes: tuple[str, ...] = field(default=())
    version: str = VERSION

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; numbers that JSON cannot hold become null."""
        data: dict[str, Any] = plain(asdict(self))
        return data

    def to_json(self) -> str:
        """Return a JSON document."""
        return json.dumps(self.to_dict(), indent=2)

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON: beside the target first, then renamed, so that nothing half-written stays."""
        write_atomic(Path(path), self.to_json() + "\n")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Build a plan from plain data; raise `InputError` when it is not one."""
        try:
            known = {name: data[name] for name in cls.__slots__ if name in data}
            known["block_names"] = tuple(data["block_names"])
            known["placement"] = tuple(span_of(span) for span in data["placement"])
            known["objective"] = ObjectiveValue(**data["objective"])
            known["figures"] = Figures(**data["figures"])
            known["nodes"] = tuple(NodeUse(**node) for node in data["nodes"])
            known["bottleneck"] = Limiter(**data["bottleneck"])
            known["notes"] = tuple(data.get("notes", ()))
            return cls(**known)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"not a plan of this version ({type(error).__name__}: {error})") from None

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan from a JSON file; raise `InputError` when it is not one of a pipeline."""
        from .io import load_pipeline

        return load_pipeline(path)


def span_of(data: Mapping[str, Any]) -> PlacedSpan:
    """A span from plain data."""
    span = PlacedSpan(**data)
    numbers = (span.start, span.stop)
    if not isinstance(span.node, str) or not all(type(number) is int for number in numbers):
        raise InputError(
            f"expected a span such as {{'node': 'a', 'start': 0, 'stop': 8}}, got {dict(data)}", "placement"
        )
    return span
