"""Plans from plain data: types by pydantic, spans and chains within the model, and what version 0.1 wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from ..errors import InputError
from ..files.entries import Bool, Entry, Index, Name, Number, Text, parse
from .picture_entry import PictureEntry, picture_from
from .plan import (
    Figures,
    FrontPoint,
    Limiter,
    NodeUse,
    ObjectiveValue,
    PlacedChain,
    PlacedGroup,
    PlacedSpan,
    Plan,
    Route,
)

MOST_BLOCKS = 1_000_000
MOST_ITEMS = 1_000_000  # nodes, spans, chains, routes

Block: Any = Annotated[int, Field(strict=True, ge=0, le=MOST_BLOCKS)]
Figure: Any = Annotated[float, Field(strict=True, allow_inf_nan=False)] | None


class SpanEntry(Entry):
    """A span."""

    node: Name
    start: Block
    stop: Block
    away: Annotated[str, Field(pattern=r"^(cache|(experts|ffn)(\+cache)?)$")] | None = None
    home: Name | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> SpanEntry:
        if self.stop <= self.start:
            raise ValueError(f"expected start < stop on '{self.node}', got {self.start}:{self.stop}")
        if (self.away is None) != (self.home is None):
            raise ValueError("expected both away and home, or neither")
        return self


class ChainEntry(Entry):
    """A chain; version 0.1 called the nodes of a session's chain servers, and wrote how many blocks each computes."""

    nodes: tuple[Name, ...] = Field(min_length=1, max_length=MOST_ITEMS)
    stops: tuple[Block, ...] = ()
    blocks: tuple[Block, ...] = ()
    capacity: Index | None = None
    seconds: Figure = None
    tokens_per_s: Figure = None


class RouteEntry(Entry):
    """A routing weight."""

    source: Name
    target: Name
    weight: Number


class GroupEntry(Entry):
    """A tensor parallel group."""

    name: Name
    devices: tuple[Name, ...] = Field(min_length=2, max_length=MOST_ITEMS)
    shares: tuple[Number, ...] = ()


class NodeEntry(Entry):
    """What the plan takes of a node."""

    name: Name
    memory_bytes: Number
    memory_used_bytes: Number
    busy_s: Number


class LimiterEntry(Entry):
    """The bottleneck."""

    kind: Text
    where: Text
    seconds: Number


class ValueEntry(Entry):
    """The objective's value."""

    name: Text
    value: Figure
    unit: Text
    sense: Annotated[str, Field(pattern="^(minimize|maximize)$")]
    bound: Figure = None
    gap: Figure = None
    proven_optimal: Bool


class PointEntry(Entry):
    """A plan of a Pareto front."""

    values: dict[str, Figure]
    placement: tuple[SpanEntry, ...] = Field(max_length=MOST_ITEMS)
    figures: dict[str, Figure] = Field(default={})
    intervals: dict[str, tuple[Number, Number]] = Field(default={})


class PlanEntry(Entry):
    """A plan, as `placement solve --out` writes it."""

    status: Annotated[str, Field(pattern="^(solved|interrupted|infeasible)$")]
    model: Text
    n_blocks: Annotated[int, Field(strict=True, ge=1, le=MOST_BLOCKS)]
    block_names: tuple[Name, ...] = Field(default=(), max_length=MOST_BLOCKS)
    placement: tuple[SpanEntry, ...] = Field(max_length=MOST_ITEMS)
    objective: ValueEntry
    figures: dict[str, Figure]
    intervals: dict[str, tuple[Number, Number]] = Field(default={})
    nodes: tuple[NodeEntry, ...] = Field(default=(), max_length=MOST_ITEMS)
    bottleneck: LimiterEntry | None = None
    chains: tuple[ChainEntry, ...] = Field(default=(), max_length=MOST_ITEMS)
    routing: tuple[RouteEntry, ...] = Field(default=(), max_length=MOST_ITEMS)
    edges: Annotated[str, Field(pattern="^(exact|partial|)$")] = ""
    ranges: tuple[tuple[Block, Block], ...] = Field(default=(), max_length=MOST_ITEMS)
    pareto: tuple[PointEntry, ...] = Field(default=(), max_length=MOST_ITEMS)
    groups: tuple[GroupEntry, ...] = Field(default=(), max_length=MOST_ITEMS)
    space: Text = ""
    weights: Text = ""
    context_tokens: Index = 0
    solver: Text = ""
    seed: Index = 0
    evaluations: Index = 0
    seconds: Number = 0.0
    stopped_by: Text = ""
    kind: Name = "pipeline"
    notes: tuple[Text, ...] = Field(default=(), max_length=MOST_ITEMS)
    version: Text = ""
    picture: PictureEntry | None = None
    # What `placement replan --json` writes beside a plan.
    moves: list[dict[str, Any]] = Field(default=[])
    moved_bytes: Figure = None
    load_s: Figure = None
    # What `placement solve --explain --json` does.
    neighbours: list[dict[str, Any]] = Field(default=[])


def plan_from(data: object, where: str = "plan") -> Plan:
    """Build a plan from plain data.

    Parameters
    ----------
    data : object
        What JSON gave; version 0.1's documents of every kind are understood.
    where : str
        The file, for error messages.

    Raises
    ------
    InputError
        One line for each mistake, with its key and the value.
    """
    if not isinstance(data, Mapping) or not data.keys() & {"placement", "figures", "objective"}:
        raise InputError("expected a plan: a JSON object with the keys placement, objective and figures", where)
    entry = parse(PlanEntry, _as_now(data), where)
    try:
        _check_blocks(entry)
    except InputError as error:
        raise error.under(where) from None
    return _plan(entry)


def _as_now(data: Mapping[str, Any]) -> dict[str, Any]:
    """What version 0.1 wrote for fleets (kind "chains"), in today's keys; anything else is left as it is."""
    found = dict(data)
    if found.get("kind") == "chains":
        found["kind"] = "sessions"
        value = found.get("objective")
        if isinstance(value, Mapping):
            maximised, gap = value.get("name") == "rate", value.get("gap")
            proven = isinstance(gap, int | float) and gap <= 1e-9
            sense = "maximize" if maximised else "minimize"
            found["objective"] = {"sense": sense, "proven_optimal": proven, **value}
        found.setdefault("model", "")
    if isinstance(found.get("chains"), list):
        found["chains"] = [
            {("nodes" if key == "servers" else key): value for key, value in chain.items()}
            if isinstance(chain, Mapping) and "nodes" not in chain
            else {key: value for key, value in chain.items() if key != "servers"}
            if isinstance(chain, Mapping)
            else chain
            for chain in found["chains"]
        ]
    return found


def _check_blocks(entry: PlanEntry) -> None:
    """Spans and chains lie within the model, and names fit its blocks."""
    blocks = entry.n_blocks
    if entry.block_names and len(entry.block_names) != blocks:
        raise InputError(f"expected {blocks} names, one per block, got {len(entry.block_names)}", "block_names")
    places = [("placement", entry.placement)]
    places += [(f"pareto[{k}].placement", point.placement) for k, point in enumerate(entry.pareto)]
    for where, placement in places:
        for k, span in enumerate(placement):
            if span.stop > blocks:
                found = f"expected at most {blocks}, the number of blocks, got {span.stop}"
                raise InputError(found, f"{where}[{k}].stop")
    for k, chain in enumerate(entry.chains):
        ends = [0, *chain.stops]
        if chain.stops and (len(chain.stops) != len(chain.nodes) or ends != sorted(set(ends)) or ends[-1] > blocks):
            raise InputError(f"expected rising block numbers up to {blocks}, one per node", f"chains[{k}].stops")


def _plan(entry: PlanEntry) -> Plan:
    given = entry.model_dump(exclude={"moves", "moved_bytes", "load_s", "neighbours"})
    spans = tuple(PlacedSpan(**span) for span in given.pop("placement"))
    value = given.pop("objective")
    value["value"] = float("nan") if value["value"] is None else value["value"]
    bottleneck = given.pop("bottleneck")
    return Plan(
        placement=spans,
        objective=ObjectiveValue(**value),
        figures=_figures(given.pop("figures")),
        nodes=tuple(NodeUse(**node) for node in given.pop("nodes")),
        bottleneck=Limiter(**(bottleneck or {})),
        chains=tuple(_chain(chain) for chain in given.pop("chains")),
        routing=tuple(Route(**route) for route in given.pop("routing")),
        pareto=tuple(_point(point) for point in given.pop("pareto")),
        groups=tuple(PlacedGroup(**group) for group in given.pop("groups")),
        picture=picture_from(given.pop("picture")),
        **given,
    )


def _chain(given: dict[str, Any]) -> PlacedChain:
    given.pop("blocks")
    return PlacedChain(**given)


def _point(given: dict[str, Any]) -> FrontPoint:
    spans = tuple(PlacedSpan(**span) for span in given["placement"])
    return FrontPoint(dict(_figures(given["values"])), spans, _figures(given["figures"]), given["intervals"])


def _figures(given: Mapping[str, float | None]) -> Figures:
    """Figures; null stands for one that is not finite."""
    return Figures({name: float("inf") if value is None else value for name, value in given.items()})
