"""The map as text: hosts and regions as boxes, nodes with what they hold, the chains' hops with their links."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ...plan.plan import Plan
from ..cluster_map import CLIENT, chains_of, link_words, shown_places
from ..rows import held_words, memory_words


def mermaid(plan: Plan) -> bytes:
    """A flowchart; names stand in quotation marks with the characters that Mermaid would read written as codes."""
    lines = ["flowchart LR", f'  {CLIENT}(["client"])']
    for depth, kind, key, text in outline(plan):
        pad = "  " * (depth + 1)
        if kind == "end":
            lines.append(f"{pad}end")
        elif kind == "box":
            lines.append(f'{pad}subgraph {key}["{_coded(text[0])}"]')
        else:
            lines.append(f'{pad}{key}["{"<br/>".join(_coded(part) for part in text if part)}"]')
    lines += [f'  {a} -->|"{_coded(words)}"| {b}' if words else f"  {a} --> {b}" for a, b, words in hops(plan)]
    return ("\n".join(lines) + "\n").encode()


def _coded(text: str) -> str:
    """Text without characters that mean something in Mermaid or HTML."""
    return "".join(char if char.isalnum() or char in " .,:/()-_+%=~" else f"#{ord(char)};" for char in text)


def dot(plan: Plan) -> bytes:
    """A graph for Graphviz."""
    lines = ["digraph plan {", "  rankdir=LR;", "  node [shape=box, style=rounded];", f'  {CLIENT} [label="client"];']
    for depth, kind, key, text in outline(plan):
        pad = "  " * (depth + 1)
        if kind == "end":
            lines.append(f"{pad}}}")
        elif kind == "box":
            lines += [f"{pad}subgraph cluster_{key} {{", f"{pad}  label={_quoted(text[0])};"]
        else:
            lines.append(f"{pad}{key} [label={_quoted(chr(10).join(part for part in text if part))}];")
    lines += [f"  {a} -> {b}" + (f" [label={_quoted(words)}];" if words else ";") for a, b, words in hops(plan)]
    return ("\n".join([*lines, "}"]) + "\n").encode()


def _quoted(text: str) -> str:
    marked = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{marked}"'


def keys_of(plan: Plan) -> dict[str, str]:
    """A plain identifier for each node."""
    return {place.name: f"n{k}" for k, place in enumerate(shown_places(plan, chains_of(plan)))} | {CLIENT: CLIENT}


def outline(plan: Plan) -> Iterator[tuple[int, str, str, tuple[str, ...]]]:
    """Depth, "box", "node" or "end", identifier and text of everything, from the outside inwards."""
    keys, boxes = keys_of(plan), 0
    regions: dict[str, dict[str, list[tuple[str, tuple[str, ...]]]]] = {}
    for place in shown_places(plan, chains_of(plan)):
        text: tuple[str, ...] = (place.name, place.device, held_words(plan, place.name), memory_words(place))
        regions.setdefault(place.region, {}).setdefault(place.host, []).append((keys[place.name], text))
    for region, hosts in regions.items():
        depth = 1 if region and (len(regions) > 1 or region != "default") else 0
        if depth:
            yield 0, "box", f"b{boxes}", (f"region {region}",)
            boxes += 1
        for host, nodes in hosts.items():
            if host:
                yield depth, "box", f"b{boxes}", (f"host {host}",)
                boxes += 1
            for key, text in nodes:
                yield depth + bool(host), "node", key, text
            if host:
                yield depth, "end", "", ()
        if depth:
            yield 0, "end", "", ()


def hops(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """From, to, and the link in words, for every hop of the chains, each once."""
    keys = keys_of(plan)
    lines = {(line.source, line.target): line for line in (plan.picture.lines if plan.picture is not None else ())}
    seen: set[tuple[str, str]] = set()
    for nodes, _ in chains_of(plan):
        for a, b in pairwise((CLIENT, *(node for node in nodes if node != CLIENT), CLIENT)):
            if a == b or (a, b) in seen or a not in keys or b not in keys:
                continue
            seen.add((a, b))
            line = lines.get((a, b)) or lines.get((b, a))
            yield keys[a], keys[b], link_words(line).rpartition(": ")[2] if line is not None else ""
