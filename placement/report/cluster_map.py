"""The cluster as a map: regions, hosts and devices as boxes, links between them, the plan's chains drawn through."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..plan.picture import Line, Place
from ..plan.plan import Plan
from ..quantities import quantity, scaled, seconds, size
from .shades import shade, shades_of

CLIENT = "client"
MOST_CARDS, MOST_IDLE = 60, 15
MOST_CHAINS, MOST_WIDTH = 8, 9.0
MOST_UNUSED = 12  # links that no chain uses: more of them are a thicket
CARD, TALL, GAP, PAD, HEAD = 158.0, 74.0, 26.0, 12.0, 18.0
# Bytes/s from which on a link counts as of this class; its number is that of its colour.
CLASSES = (
    (8e9, "8 GB/s and more: one host"),
    (1e9, "8 Gbit/s and more"),
    (1e8, "0.8 Gbit/s and more"),
    (0.0, "slower"),
)


@dataclass(frozen=True, slots=True)
class Box:
    """A region or a host around its devices."""

    label: str
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Card:
    """A device, or a group that acts as one: what it is, which part of the model it holds, how full it is."""

    name: str
    short: str
    detail: str
    badge: str
    shade: str
    hot: bool
    x: float
    y: float
    strips: tuple[tuple[float, float], ...]
    memory: float
    blocks: str

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle."""
        return self.x + CARD / 2, self.y + TALL / 2


@dataclass(frozen=True, slots=True)
class Edge:
    """A link that a chain goes over, or one that none does (`shade` empty)."""

    path: str
    shade: str
    width: float
    title: str
    chain: int


@dataclass(frozen=True, slots=True)
class ClusterMap:
    """The whole drawing, in the units of its view box."""

    boxes: tuple[Box, ...]
    cards: tuple[Card, ...]
    client: tuple[float, float] | None
    edges: tuple[Edge, ...]
    legend: tuple[tuple[str, str, str], ...]
    hidden: int
    width: float
    height: float


def chains_of(plan: Plan) -> list[tuple[tuple[str, ...], str]]:
    """The chains that are drawn, that of the placement first, then the widest, each with what it carries in words."""
    if not plan.chains:
        return [(tuple(span.node for span in sorted(plan.placement, key=lambda span: span.start)), "")]
    found = []
    for chain in plan.chains:
        words = f"{chain.capacity} sessions" if chain.capacity is not None else ""
        if chain.tokens_per_s is not None:
            words = quantity(chain.tokens_per_s, "tokens/s")
        if chain.seconds is not None:
            words += (", " if words else "") + f"{seconds(chain.seconds)}"
        found.append((chain.nodes, words))
    own = tuple(span.node for span in sorted(plan.placement, key=lambda span: span.start))
    weight = [chain.capacity or chain.tokens_per_s or 0.0 for chain in plan.chains]
    order = sorted(range(len(found)), key=lambda k: (found[k][0] != own, -weight[k]))
    return [found[k] for k in order[:MOST_CHAINS]]


def cluster_map(plan: Plan, *, width: float) -> ClusterMap:
    """Lay the map out for a page of this width."""
    chains = chains_of(plan)
    places = shown_places(plan, chains)
    colour = shades_of(plan)
    known = len(plan.picture.places) if plan.picture is not None and plan.picture.places else len(places)
    boxes, at, bottom = arranged(places, width)
    stage: dict[str, list[int]] = {}
    for number, node in enumerate(chains[0][0] if len(chains) == 1 else (), start=1):
        stage.setdefault(node, []).append(number)
    cards = tuple(_card(plan, place, at[place.name], colour, stage) for place in places)
    lines = {(line.source, line.target): line for line in (plan.picture.lines if plan.picture is not None else ())}
    client = (width / 2, 16.0)
    spots = {card.name: card.middle for card in cards} | {CLIENT: client}
    edges = [*_unused(lines.values(), spots), *_chains(chains, lines, spots)]
    return ClusterMap(
        boxes, cards, client, tuple(edges), _legend(chains, lines), max(0, known - len(places)), width, bottom
    )


def shown_places(plan: Plan, chains: Sequence[tuple[tuple[str, ...], str]]) -> list[Place]:
    """The nodes to draw: those of chains first, then those that hold something, then idle ones; at most a screen."""
    known = {place.name: place for place in (plan.picture.places if plan.picture is not None else ())}
    held = [span.node for span in sorted(plan.placement, key=lambda span: (span.start, span.node))]
    homes = [span.home for span in plan.placement if span.home]
    first = [node for nodes, _ in chains for node in nodes]
    uses = {use.name: use for use in plan.nodes}
    busy = list(dict.fromkeys((*first, *homes, *held)))[:MOST_CARDS]
    idle = [name for name in dict.fromkeys((*known, *uses)) if name not in {*busy, *held}][:MOST_IDLE]
    found = []
    for name in (*busy, *idle):
        if name == CLIENT:
            continue
        room = uses[name].memory_bytes if name in uses else 0.0
        found.append(known.get(name) or Place(name, memory_bytes=room))
    return found


def arranged(places: Sequence[Place], width: float) -> tuple[tuple[Box, ...], dict[str, tuple[float, float]], float]:
    """Boxes, the corner of every card, and where the drawing ends: regions from above, hosts from the left."""
    regions: dict[str, dict[str, list[Place]]] = {}
    for place in places:
        unit = f"host {place.host}" if place.host else f"node {place.name}"
        regions.setdefault(place.region, {}).setdefault(unit, []).append(place)
    boxes: list[Box] = []
    at: dict[str, tuple[float, float]] = {}
    y = 52.0
    for region, units in regions.items():
        framed = len(regions) > 1 or region not in ("", "default")
        inner = width - 2 * PAD
        x, row, top = PAD, 0.0, y + (HEAD if framed else 0.0)
        for members in units.values():
            boxed = bool(members[0].host)
            pad = 8.0 if boxed else 0.0
            across = max(1, min(len(members), int((inner - 2 * pad + GAP) // (CARD + GAP))))
            wide = across * CARD + (across - 1) * GAP + 2 * pad
            tall = math.ceil(len(members) / across) * (TALL + GAP) - GAP + 2 * pad + (HEAD if boxed else 0.0)
            if x > PAD and x + wide > width - PAD:
                x, top, row = PAD, top + row + GAP, 0.0
            if boxed:
                boxes.append(Box(members[0].host, "host", x, top, wide, tall))
            for k, place in enumerate(members):
                left = x + pad + (k % across) * (CARD + GAP)
                at[place.name] = left, top + pad + (HEAD if boxed else 0.0) + (k // across) * (TALL + GAP)
            x, row = x + wide + GAP, max(row, tall)
        end = top + row
        if framed:
            boxes.append(Box(region or "no region", "region", 2, y - 2, width - 4, end - y + PAD))
        y = end + (PAD if framed else 0.0) + GAP
    return tuple(sorted(boxes, key=lambda box: box.kind != "region")), at, y


def _card(
    plan: Plan,
    place: Place,
    corner: tuple[float, float],
    colour: Mapping[str, str],
    stage: Mapping[str, list[int]],
) -> Card:
    spans = [(span.start, span.stop) for span in plan.placement if span.node == place.name] or in_chains(plan, place)
    away = [span for span in plan.placement if span.home == place.name]
    parts = " and ".join(dict.fromkeys(part for span in away for part in span.parts))
    scale = (CARD - 16) / max(1, plan.n_blocks)
    strips = tuple((round(8 + start * scale, 1), round((stop - start) * scale, 1)) for start, stop in spans)
    device = place.device or (size(place.memory_bytes) if place.memory_bytes > 0 else "")
    words = ", ".join(f"{start} to {stop - 1}" for start, stop in spans[:3]) + (" ..." if len(spans) > 3 else "")
    held = f"blocks {words}" if spans else (f"{parts} of others" if away else "idle")
    used = place.memory_bytes - place.free_bytes
    hot = plan.bottleneck.kind == "node" and plan.bottleneck.where == place.name
    return Card(
        name=place.name,
        short=_short(place.name, 17),
        detail=_short(device, 22),
        badge=",".join(map(str, stage.get(place.name, [])[:2])),
        shade=colour.get(place.name, ""),
        hot=hot,
        x=corner[0],
        y=corner[1],
        strips=strips,
        memory=min(1.0, used / place.memory_bytes) if place.memory_bytes > 0 else 0.0,
        blocks=_short(held, 25),
    )


def in_chains(plan: Plan, place: Place) -> list[tuple[int, int]]:
    """What chains compute at a node that the placement does not name: the chains of a front, say."""
    found = {
        (start, stop)
        for chain in plan.chains
        for node, start, stop in zip(chain.nodes, (0, *chain.stops), chain.stops, strict=False)
        if node == place.name
    }
    return sorted(found)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _unused(lines: Iterable[Line], spots: Mapping[str, tuple[float, float]]) -> list[Edge]:
    unused = [line for line in lines if not line.used and line.source in spots and line.target in spots]
    return [
        Edge(_path(spots[line.source], spots[line.target]), "", 1.0, link_words(line), -1)
        for line in unused
        if len(unused) <= MOST_UNUSED
    ]


def _chains(
    chains: Sequence[tuple[tuple[str, ...], str]],
    lines: Mapping[tuple[str, str], Line],
    spots: Mapping[str, tuple[float, float]],
) -> list[Edge]:
    """Lines along every chain: coloured by the link where there is one chain, else by the chain."""
    edges = []
    for number, (nodes, _) in enumerate(chains):
        way = (CLIENT, *(node for node in nodes if node != CLIENT), CLIENT)
        for a, b in pairwise(way):
            if a == b or a not in spots or b not in spots:
                continue
            line = lines.get((a, b)) or lines.get((b, a))
            rate = line.bandwidth_bytes_per_s if line is not None else 0.0
            width = 2.0 + (max(0.0, math.log10(rate / 1e6)) if rate > 0 else 0.0)
            colour = shade(number) if len(chains) > 1 else f"k{class_of(rate)}"
            title = f"{a} to {b}" if line is None else link_words(line)
            edges.append(
                Edge(_path(spots[a], spots[b], 7.0 * number), colour, round(min(width, MOST_WIDTH), 1), title, number)
            )
    return edges


def class_of(bandwidth_bytes_per_s: float) -> int:
    """Number of a link's class; the last one where the bandwidth is not known."""
    return next(k for k, (least, _) in enumerate(CLASSES) if bandwidth_bytes_per_s >= least)


def link_words(line: Line) -> str:
    """A link in words."""
    rate = f", {scaled(line.bandwidth_bytes_per_s, 'B/s')}" if line.bandwidth_bytes_per_s > 0 else ""
    return f"{line.source} to {line.target}: {seconds(line.latency_s)}{rate}"


def _legend(
    chains: Sequence[tuple[tuple[str, ...], str]], lines: Mapping[tuple[str, str], Line]
) -> tuple[tuple[str, str, str], ...]:
    """Colour, name and words of what is drawn."""
    if len(chains) > 1:
        return tuple(
            (shade(k), f"chain {k + 1}", f"{' → '.join(nodes[:6])}{' …' if len(nodes) > 6 else ''}: {words}")
            for k, (nodes, words) in enumerate(chains)
        )
    there = sorted({class_of(line.bandwidth_bytes_per_s) for line in lines.values() if line.used})
    return tuple((f"k{k}", CLASSES[k][1], "") for k in there)


def _path(a: tuple[float, float], b: tuple[float, float], shift: float = 0.0) -> str:
    """A curve from the edge of one card to that of another, bent to its right so that there and back differ."""
    start, end = _border(a, b), _border(b, a)
    dx, dy = end[0] - start[0], end[1] - start[1]
    far = math.hypot(dx, dy) or 1.0
    bend = min(26.0, 0.14 * far) + shift
    middle = (start[0] + end[0]) / 2 - dy / far * bend, (start[1] + end[1]) / 2 + dx / far * bend
    return f"M{start[0]:.1f} {start[1]:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {end[0]:.1f} {end[1]:.1f}"


def _border(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the middle of one card to another middle leaves the first; the client is a small pill."""
    half = (CARD / 2 + 3, TALL / 2 + 3) if a[1] > 20 else (38.0, 15.0)
    dx, dy = b[0] - a[0], b[1] - a[1]
    part = min((half[0] / abs(dx)) if dx else math.inf, (half[1] / abs(dy)) if dy else math.inf, 1.0)
    return a[0] + dx * part, a[1] + dy * part
