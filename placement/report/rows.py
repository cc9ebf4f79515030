"""Which blocks lie where, and what the memory of each node is used for: one row for each node."""

from __future__ import annotations

from dataclasses import dataclass

from ..plan.picture import Place
from ..plan.plan import Plan
from ..quantities import percent, seconds, size
from .shades import shades_of
from .table import blocks_of

MOST_ROWS, MOST_IDLE = 120, 15
USES = ("weights", "cache", "pass", "beside", "free")


@dataclass(frozen=True, slots=True)
class Strip:
    """A span, as parts of the whole row in percent; `away` names the part of its blocks that lies elsewhere."""

    left: float
    width: float
    title: str
    away: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A node: its spans, and its memory by use in percent of all of it."""

    name: str
    detail: str
    shade: str
    hot: bool
    strips: tuple[Strip, ...]
    held: str
    memory: tuple[tuple[str, float, str], ...]
    words: str
    busy: str


def rows_of(plan: Plan) -> tuple[list[Row], int]:
    """Rows of the nodes in use, in block order, then of idle ones; and how many idle ones have none."""
    colour = shades_of(plan)
    known = {place.name: place for place in (plan.picture.places if plan.picture is not None else ())}
    for use in plan.nodes:
        known.setdefault(use.name, Place(use.name, weights_bytes=use.memory_used_bytes, memory_bytes=use.memory_bytes))
    homes = [span.home for span in plan.placement if span.home]
    used = list(dict.fromkeys((*colour, *homes)))
    idle = [name for name in known if name not in set(used)]
    names = [*used[:MOST_ROWS], *idle[:MOST_IDLE]]
    members = {group.name: group for group in plan.groups}
    busy = {use.name: use.busy_s for use in plan.nodes}
    rows = []
    for name in names:
        place = known.get(name, Place(name))
        group = members.get(name)
        detail = place.device
        if group is not None:
            shares = " with unequal shares" if group.shares else ""
            detail = f"{len(group.devices)} x {place.device or 'devices'} together{shares}"
        rows.append(
            Row(
                name=name,
                detail=detail,
                shade=colour.get(name, ""),
                hot=plan.bottleneck.kind == "node" and plan.bottleneck.where == name,
                strips=strips_of(plan, name),
                held=held_words(plan, name),
                memory=memory_of(place),
                words=memory_words(place),
                busy=seconds(busy[name]) if busy.get(name, 0.0) > 0 else "",
            )
        )
    return rows, len(used) + len(idle) - len(names)


def strips_of(plan: Plan, name: str) -> tuple[Strip, ...]:
    """The spans of a node, and the blocks a part of which it holds for others."""
    share = 100.0 / max(1, plan.n_blocks)
    found = []
    for span in plan.placement:
        if span.node == name or span.home == name:
            here = span.node == name
            title = blocks_of(plan, span) if here else f"{span.parts_words} of {blocks_of(plan, span)}"
            found.append(
                Strip(round(span.start * share, 2), round((span.stop - span.start) * share, 2), title, bool(span.away))
            )
    return tuple(found)


def held_words(plan: Plan, name: str) -> str:
    """What a node holds, in words."""
    own = [blocks_of(plan, span) for span in plan.placement if span.node == name]
    for_others = [f"{span.parts_words} of {blocks_of(plan, span)}" for span in plan.placement if span.home == name]
    found = [*own, *(words.partition(", ")[0] for words in for_others)]
    return "; ".join(found[:4]) + (f"; {len(found) - 4} more" if len(found) > 4 else "") or "idle"


def memory_of(place: Place) -> tuple[tuple[str, float, str], ...]:
    """Uses of the memory with their width in percent of all of it, and their words."""
    values = (place.weights_bytes, place.cache_bytes, place.pass_bytes, place.beside_bytes, place.free_bytes)
    whole = max(sum(values), 1.0)
    return tuple(
        (use, round(100.0 * value / whole, 2), f"{use}: {size(value)}")
        for use, value in zip(USES, values, strict=True)
        if value > 0
    )


def memory_words(place: Place) -> str:
    """How much of the memory is used, in words; empty where it is not known."""
    if place.memory_bytes <= 0:
        return ""
    used = place.weights_bytes + place.cache_bytes + place.pass_bytes
    room = place.memory_bytes - place.beside_bytes
    return f"{size(used)} of {size(room)} ({percent(used / room)})" if room > 0 else size(used)
