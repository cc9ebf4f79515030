"""The plan is data: spans by node name, chains, predicted figures, bound, solver, seed, version. JSON in and out.

One class for every kind of plan. What only some kinds have is empty in the others, and left out of the JSON document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import plain, read_json, write_atomic
from .picture import Picture

VERSION = "0.1.0"
BESIDE = "+"  # between two parts of one block that lie elsewhere
# Keys of the document that are left out where they are empty.
OPTIONAL = (
    "intervals",
    "nodes",
    "bottleneck",
    "chains",
    "routing",
    "edges",
    "ranges",
    "pareto",
    "groups",
    "space",
    "weights",
    "context_tokens",
    "picture",
)


class MissingFigureError(InputError, AttributeError):
    """A plan's document lacks a figure that its kind has; for Python, an attribute that is missing."""


class Figures(Mapping[str, float]):
    """Predicted figures by name; each name says its unit, and every figure is an attribute too.

    Which figures a plan has depends on its kind: see "Figures" in docs/plans.md.

    Parameters
    ----------
    values : mapping of str to float
        ``{"time_per_token_s": 0.02, ...}``.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, float] | None = None, /, **more: float) -> None:
        self._values: dict[str, float] = {**(values or {}), **more}

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> float:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise MissingFigureError(f"this plan has no figure '{name}' (it has {', '.join(self)})") from None

    def __repr__(self) -> str:
        return f"Figures({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Figures, (self._values,)


@dataclass(frozen=True, slots=True)
class PlacedSpan:
    """Node `node` holds the blocks ``start <= b < stop``.

    With `away`, that part of each of them ("experts", "ffn", "cache", or the cache beside one of the others:
    "experts+cache", "ffn+cache") lies in the main memory of the node `home`, whose CPU computes it.
    """

    node: str
    start: int
    stop: int
    away: str | None = None
    home: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of its blocks that lie elsewhere."""
        return tuple(self.away.split(BESIDE)) if self.away else ()

    @property
    def parts_words(self) -> str:
        """The parts of its blocks that lie elsewhere, for people."""
        return " and ".join(self.parts)


@dataclass(frozen=True, slots=True)
class PlacedChain:
    """A way through the layout, in block order.

    Attributes
    ----------
    nodes : tuple of str
    stops : tuple of int
        The block after the last one that each of the nodes computes; empty where every node computes its whole span.
    capacity : int or None
        Sessions at once whose caches it has room for.
    seconds : float or None
        Mean seconds of a session (kind "sessions") or of a token (kind "routes") on it.
    tokens_per_s : float or None
        Tokens/s that it carries, or can carry.
    """

    nodes: tuple[str, ...]
    stops: tuple[int, ...] = ()
    capacity: int | None = None
    seconds: float | None = None
    tokens_per_s: float | None = None

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many blocks a request uses at each of the nodes."""
        return tuple(stop - start for start, stop in zip((0, *self.stops), self.stops, strict=False))


@dataclass(frozen=True, slots=True)
class Route:
    """Part `weight` of the requests at node `source` goes on to node `target`; "client" is where they begin."""

    source: str
    target: str
    weight: float


@dataclass(frozen=True, slots=True)
class PlacedGroup:
    """Devices that hold blocks together by tensor parallelism, under one name; `shares` is empty where equal."""

    name: str
    devices: tuple[str, ...]
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeUse:
    """What a plan takes of one node: bytes of its capacity, busy seconds per micro-batch; of sessions, per session."""

    name: str
    memory_bytes: float
    memory_used_bytes: float
    busy_s: float


@dataclass(frozen=True, slots=True)
class Limiter:
    """What limits the rate: `kind` "node" or "link" (empty: not known), the names, busy seconds per micro-batch."""

    kind: str = ""
    where: str = ""
    seconds: float = 0.0


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
class FrontPoint:
    """A plan of a Pareto front: the values of the objectives by name, its spans, its figures and their intervals."""

    values: Mapping[str, float]
    placement: tuple[PlacedSpan, ...]
    figures: Figures = field(default_factory=Figures)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """A layout with everything that was predicted about it.

    Attributes
    ----------
    status : str
        "solved", "interrupted" or "infeasible" (then the spans break a rule and say which in `notes`).
    model : str
    n_blocks : int
    block_names : tuple of str
    placement : tuple of PlacedSpan
        In block order.
    objective : ObjectiveValue
    figures : Figures
    intervals : mapping of str to (float, float)
        Low and high of predicted figures, by their names: where 9 of 10 such predictions lie. What is not predicted (a
        price, a count) has none.
    nodes : tuple of NodeUse
        All nodes of the cluster; empty where memory and busy seconds are not known by node.
    bottleneck : Limiter
        What limits the rate of a pipeline.
    kind : str
        A name of `placement.kinds.KINDS`.
    chains : tuple of PlacedChain
        Ways through the layout; empty in a pipeline, whose one chain is its placement.
    routing : tuple of Route
        Weights by which requests choose the next node of a replicated placement.
    edges : str
        Replicated placements: "exact" joins spans end to start, "partial" enters a span anywhere.
    ranges : tuple of (int, int)
        Replicated placements: start and stop of every node in the cluster's order, (0, 0) where it holds nothing.
    pareto : tuple of FrontPoint
        With several objectives: plans that no other one found dominates, sorted by the first objective.
    groups : tuple of PlacedGroup
        Tensor parallel groups among the nodes of the placement.
    space : str
        What was searched, in words, where it was more than layouts of whole layers on the nodes of the file: the bound
        is one on this space.
    weights : str
        Number format of the weights that memory was counted for; empty where it is not known.
    context_tokens : int
        Tokens of prompt and output that each sequence in flight has room for; 0 where that is not known.
    solver, seed, evaluations, seconds, stopped_by
        How it was found.
    notes : tuple of str
        Assumptions and proofs, for people.
    picture : Picture or None
        What its page draws beside all that; it says nothing that the question does not say, and two plans with
        different ones are equal.
    """

    status: str
    model: str
    n_blocks: int
    block_names: tuple[str, ...]
    placement: tuple[PlacedSpan, ...]
    objective: ObjectiveValue
    figures: Figures
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    nodes: tuple[NodeUse, ...] = ()
    bottleneck: Limiter = field(default_factory=Limiter)
    chains: tuple[PlacedChain, ...] = ()
    routing: tuple[Route, ...] = ()
    edges: str = ""
    ranges: tuple[tuple[int, int], ...] = ()
    pareto: tuple[FrontPoint, ...] = ()
    groups: tuple[PlacedGroup, ...] = ()
    space: str = ""
    weights: str = ""
    context_tokens: int = 0
    solver: str = ""
    seed: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    stopped_by: str = ""
    kind: str = "pipeline"
    notes: tuple[str, ...] = ()
    version: str = VERSION
    picture: Picture | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; what the kind does not have is left out, and so are figures without a value.

        The objective's value is null where a layout that breaks a rule has none: no chain crosses it, say.
        """
        data: dict[str, Any] = plain(_document(self))
        for holder in (data, *data["pareto"]):
            holder["figures"] = {name: value for name, value in holder["figures"].items() if value is not None}
        for point in data["pareto"]:
            if not point["intervals"]:
                del point["intervals"]
        data["bottleneck"] = data["bottleneck"] if self.bottleneck.kind else None
        for chain, written in zip(self.chains, data["chains"], strict=True):
            if chain.capacity is not None:  # two more names, which version 0.1 wrote for sessions
                written |= {"servers": list(chain.nodes), "blocks": list(chain.blocks)}
        for name in OPTIONAL:
            if not data.get(name):
                data.pop(name, None)
        return data

    def to_json(self) -> str:
        """Return a JSON document."""
        return json.dumps(self.to_dict(), indent=2)

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON: beside the target first, then renamed, so that nothing half-written stays."""
        write_atomic(Path(path), self.to_json() + "\n")

    @classmethod
    def from_dict(cls, data: object) -> Plan:
        """Build a plan from plain data; raise `InputError` with the key and the value when it is not one."""
        from .reading import plan_from  # pydantic comes with it

        return plan_from(data)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read what `placement solve --out` wrote; raise `InputError` with file, key and value when it is no plan."""
        from .reading import plan_from  # pydantic comes with it

        return plan_from(read_json(path), str(path))


def _document(value: Any) -> Any:
    """Dataclasses as mappings; optional fields that are None are left out."""
    if is_dataclass(value):
        found = {item.name: _document(getattr(value, item.name)) for item in fields(value)}
        return {
            item.name: found[item.name]
            for item in fields(value)
            if not (item.default is None and found[item.name] is None)
        }
    return [_document(item) for item in value] if isinstance(value, tuple) else value
