"""The map and the time of a plan for the terminal: a tree of regions, hosts and nodes, and rows of marks."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from ..plan.plan import Plan
from ..quantities import bar, seconds
from .cluster_map import chains_of, link_words, shown_places
from .rows import held_words, memory_words
from .timeline import ROUNDS, visits

WIDTH = 60
MARKS = "0123456789abcdefghijklmnopqrstuvwxyz"


def map_view(plan: Plan, *, ascii_only: bool = False) -> RenderableType:
    """Regions, hosts and nodes with their memory, chains, and some rounds of decoding."""
    parts: list[RenderableType] = [_tree(plan, ascii_only=ascii_only)]
    chains = chains_of(plan)
    if len(chains) > 1:
        parts.append(Text("\nchains", style="bold"))
        parts += [Text(f"  {' > '.join(nodes)}: {words}") for nodes, words in chains]
    used = [line for line in (plan.picture.lines if plan.picture is not None else ()) if line.used]
    if used:
        parts.append(Text("\nlinks", style="bold"))
        parts += [Text(f"  {link_words(line)}") for line in used[:12]]
    parts += _decoding(plan)
    return Group(*parts)


def _tree(plan: Plan, *, ascii_only: bool) -> Tree:
    tree = Tree(Text("map", style="bold"))
    boxes: dict[tuple[str, str], Tree] = {}
    for place in shown_places(plan, chains_of(plan)):
        region = boxes.setdefault((place.region, ""), tree)
        if region is tree and place.region not in ("", "default"):
            region = boxes[place.region, ""] = tree.add(Text(f"region {place.region}"))
        parent = region
        if place.host:
            if (place.region, place.host) not in boxes:
                boxes[place.region, place.host] = region.add(Text(f"host {place.host}"))
            parent = boxes[place.region, place.host]
        hot = plan.bottleneck.kind == "node" and plan.bottleneck.where == place.name
        line = Text(place.name, style="bold red" if hot else "bold")
        line.append(" (bottleneck)" if hot else "", style="red")
        line.append(f"  {place.device}" if place.device else "", style="dim")
        line.append(f"  {held_words(plan, place.name)}", style="default")
        if place.memory_bytes > 0:
            share = 1.0 - place.free_bytes / place.memory_bytes
            line.append(f"  {bar(share, 8, ascii_only=ascii_only)} {memory_words(place)}", style="default")
        parent.add(line)
    return tree


def _decoding(plan: Plan) -> list[RenderableType]:
    """Rows of marks: which micro-batch is in which stage when."""
    picture = plan.picture
    stages = picture.stages if picture is not None else ()
    step = sum(stage.decode_s + stage.hop_s for stage in stages)
    slowest = max((stage.decode_s for stage in stages), default=0.0)
    if picture is None or slowest <= 0:
        return []
    last = ROUNDS * max(step, picture.batches * slowest)
    rows = {k: [" "] * WIDTH for k, stage in enumerate(stages) if stage.decode_s > 0}
    for visit in visits(stages, picture.batches, until_s=last):
        first = int(visit.start_s / last * WIDTH)
        for cell in range(first, max(first + 1, round((visit.start_s + visit.length_s) / last * WIDTH))):
            if cell < WIDTH:
                rows[visit.stage][cell] = MARKS[visit.what % len(MARKS)]
    wide = min(20, max(len(stages[k].node) for k in rows))
    lines = [f"  {stages[k].node[:wide]:{wide}s} |{''.join(cells)}|" for k, cells in rows.items()]
    title = f"\ndecoding, {seconds(last)}: a digit is a micro-batch in a stage ({picture.work})"
    return [Text(title, style="bold"), Text("\n".join(lines), no_wrap=True, overflow="crop")]
