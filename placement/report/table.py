"""A plan as a table for the terminal: stages in order, memory and busy bars, the bottleneck, figures, bound and gap."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from objectives.combine import PIPELINE

from ..quantities import bar, between, percent, quantity, seconds, size
from ..search.stop import StoppedBy

if TYPE_CHECKING:
    from objectives.combine import TermSet

    from ..plan.plan import NodeUse, ObjectiveValue, PlacedSpan, Plan

MOST_IDLE = 12
MOST_POINTS = 15


def plan_view(plan: Plan, *, ascii_only: bool = False) -> RenderableType:
    """Everything about one plan."""
    parts: list[RenderableType] = [headline(plan), stage_table(plan, ascii_only=ascii_only)]
    parts += [Text(line, style="dim") for line in homes_of_parts(plan)]
    parts += [Text(f"idle: {line}", style="dim") for line in [idle_nodes(plan)] if line]
    parts += [Text(""), facts(plan)]
    parts += [Text(f"note: {note}", style="dim") for note in plan.notes]
    parts += front_view(plan, PIPELINE)
    return Group(*parts)


def headline(plan: Plan) -> Text:
    """Model, number of stages and status."""
    used = len({span.node for span in plan.placement})
    words = f"{plan.model}: {plan.n_blocks} blocks on {used} of {len(plan.nodes)} nodes"
    status = {"infeasible": " (this placement breaks a rule)", "interrupted": " (interrupted: best so far)"}
    return Text(words + status.get(plan.status, ""), style="bold")


def stage_table(plan: Plan, *, ascii_only: bool = False) -> Table:
    """One row per stage; a node that holds several runs of blocks shows its bars once."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("node", overflow="fold", min_width=6)
    table.add_column("blocks", overflow="fold", min_width=12)
    table.add_column("memory", no_wrap=True)
    table.add_column("busy", no_wrap=True)
    uses = {node.name: node for node in plan.nodes}
    slowest = max((node.busy_s for node in plan.nodes), default=0.0)
    shown: set[str] = set()
    for number, span in enumerate(plan.placement, start=1):
        use = uses.get(span.node)
        cells: tuple[Text | str, Text | str] = ("", "")
        if use is not None and span.node not in shown:
            hot = plan.bottleneck.kind == "node" and plan.bottleneck.where == span.node
            cells = (memory_cell(use, ascii_only), busy_cell(use, slowest, hot=hot, ascii_only=ascii_only))
        shown.add(span.node)
        table.add_row(str(number), span.node, blocks_of(plan, span), *cells)
    return table


def blocks_of(plan: Plan, span: PlacedSpan) -> str:
    """Names of the first and the last block, and how many there are."""
    names = plan.block_names[span.start : span.stop]
    words = f"{''.join(names)} (1)" if len(names) < 2 else f"{names[0]} .. {names[-1]} ({len(names)})"
    return f"{words}, {span.parts_words} on {span.home}" if span.away else words


def memory_cell(use: NodeUse, ascii_only: bool) -> Text:
    """Memory in use, in the unit of the capacity."""
    share = use.memory_used_bytes / use.memory_bytes if use.memory_bytes > 0 else float("inf")
    capacity, unit = size(use.memory_bytes).split(" ")
    factor = use.memory_bytes / float(capacity) if float(capacity) else 1.0
    style = "red" if share > 1 else "yellow" if share > 0.95 else "green"
    used = use.memory_used_bytes / factor
    text = Text(bar(share, 8, ascii_only=ascii_only), style=style)
    return text.append(f" {used:.3g}/{capacity} {unit}", style="default")


def busy_cell(use: NodeUse, slowest: float, *, hot: bool, ascii_only: bool) -> Text:
    """Busy time per micro-batch beside that of the busiest node."""
    share = use.busy_s / slowest if slowest > 0 else 0.0
    text = Text(bar(share, 6, ascii_only=ascii_only), style="red" if hot else "blue")
    return text.append(f" {seconds(use.busy_s)}", style="default")


def homes_of_parts(plan: Plan) -> list[str]:
    """A line for each node that holds parts of others' blocks and none of its own: what, and how much."""
    own = {span.node for span in plan.placement}
    found = []
    for use in plan.nodes:
        parts = dict.fromkeys(part for span in plan.placement if span.home == use.name for part in span.parts)
        if parts and use.name not in own:
            room = f"{size(use.memory_used_bytes)} of {size(use.memory_bytes)}"
            found.append(f"beside them: {use.name} with {' and '.join(parts)} ({room})")
    return found


def idle_nodes(plan: Plan) -> str:
    """Names of the nodes that hold nothing."""
    used = {name for span in plan.placement for name in (span.node, span.home)}
    idle = [f"{node.name} ({size(node.memory_bytes)})" for node in plan.nodes if node.name not in used]
    more = f" and {len(idle) - MOST_IDLE} more" if len(idle) > MOST_IDLE else ""
    return ", ".join(idle[:MOST_IDLE]) + more


def facts(plan: Plan) -> Table:
    """Figures, bottleneck, bound and how the plan was found."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    figures = plan.figures
    range_of = partial(interval, plan)
    table.add_row("time per token", f"{seconds(figures.time_per_token_s)}{range_of('latency')} for a single sequence")
    table.add_row("first token", f"{seconds(figures.ttft_s)}{range_of('ttft')}")
    batch = f"{figures.in_flight:.0f} in flight, micro-batches of {figures.micro_batch:.0f}"
    table.add_row("throughput", f"{figures.tokens_per_s:.4g} tokens/s{range_of('throughput')}, {batch}")
    if "decode_tokens_per_s" in figures:
        alone = f"{figures.decode_tokens_per_s:.4g} tokens/s{range_of('decode_rate')}"
        table.add_row("decode rate", f"{alone}, prompts left out")
    table.add_row("whole request", f"{seconds(figures.request_time_s)}{range_of('request_time')}")
    if figures.price_per_hour > 0:
        table.add_row("price", quantity(figures.price_per_hour, PIPELINE.units["price"]))
    if figures.energy_per_token_j > 0:
        table.add_row("energy", quantity(figures.energy_per_token_j, PIPELINE.units["energy"]))
    limiter, share = plan.bottleneck, ", prompts included" if "decode_tokens_per_s" in figures else ""
    busy = f"busy {seconds(limiter.seconds)} per micro-batch{share}"
    table.add_row("bottleneck", f"{limiter.kind} {limiter.where}, {busy}")
    table.add_row("objective", objective_line(plan.objective))
    if plan.space:
        table.add_row("searched", plan.space)
    found = f"{plan.solver}, {plan.evaluations:,} placements in {seconds(plan.seconds)}, seed {plan.seed}"
    table.add_row("found by", f"{found}; {why_stopped(plan.stopped_by)}")
    return table


def interval(plan: Plan, term: str) -> str:
    """Where 9 of 10 such predictions lie, in brackets; nothing where the plan does not say it."""
    ends = plan.intervals.get(PIPELINE.figures[term])
    return f" ({between(*ends, PIPELINE.units[term])})" if ends else ""


def objective_line(value: ObjectiveValue) -> str:
    """Value, and how far it can be from the best possible one."""
    worth = quantity(value.value, value.unit) if value.unit else f"= {value.value:.4g}"
    if value.proven_optimal:
        return f"{value.name} {worth}, proven optimal"
    if value.bound is None or value.gap is None:
        return f"{value.name} {worth}, no bound is known"
    # The gap is of costs: for a maximised value it says how far above it the bound is.
    side = "below" if value.sense == "maximize" else "above"
    share = abs(value.value / value.bound - 1.0) if value.bound else value.gap
    return f"{value.name} {worth}, at most {percent(share)} {side} the proven bound {quantity(value.bound, value.unit)}"


def why_stopped(name: str) -> str:
    """The message for people that belongs to a reason for stopping."""
    return StoppedBy[name.upper()].value if name.upper() in StoppedBy.__members__ else name


def pareto_table(plan: Plan, terms: TermSet) -> Table:
    """The Pareto front, thinned to a screen; the kind's terms say the units."""
    points = plan.pareto
    step = max(1, -(-len(points) // MOST_POINTS))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in points[0].values:
        table.add_column(name, justify="right")
    table.add_column("stages", overflow="fold")
    for point in points[::step]:
        stages = " ".join(f"{span.node}={span.start}:{span.stop}" for span in point.placement)
        table.add_row(*(quantity(value, terms.units.get(name, "")) for name, value in point.values.items()), stages)
    return table


def front_view(plan: Plan, terms: TermSet) -> list[RenderableType]:
    """The Pareto front under its title; nothing where there is none."""
    if not plan.pareto:
        return []
    count = len(plan.pareto)
    title = "the only plan found" if count == 1 else f"{count} plans that no other one beats in everything"
    return [Text(f"\n{title}", style="bold"), pareto_table(plan, terms)]
