"""One HTML page on a result, with drawings in SVG: it needs no other file and no network."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from objectives.combine import PIPELINE

from ..plan.values import first_unit, term_values
from ..quantities import quantity, seconds, size
from .html import rendered
from .table import blocks_of, idle_nodes, interval, objective_line, why_stopped

if TYPE_CHECKING:
    from objectives.combine import Objective

    from ..optimize import Result
    from ..plan.plan import Plan

COLOURS = ("#3b6ea8", "#c8743c", "#4e9a63", "#a84d5c", "#7a63a8", "#8a7a3c", "#3c98a0", "#77777f")
IDLE = "#ccc"
WIDTH = 860.0  # of the drawings, in the units of their view boxes
FIGURES = {
    "latency": "time per token",
    "ttft": "time to first token",
    "throughput": "throughput",
    "request_time": "whole request",
    "price": "price",
    "energy": "energy",
}
Steps = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage in the band of all stages; `x` and `width` in the drawing's units."""

    node: str
    blocks: str
    busy: str
    colour: str
    x: float
    width: float

    @property
    def named(self) -> bool:
        """Whether its name fits inside."""
        return self.width > 8 * len(self.node)


@dataclass(frozen=True, slots=True)
class MemoryBar:
    """A node's memory: the width of all of it and of what is used, in the drawing's units."""

    name: str
    text: str
    colour: str
    outer: float
    inner: float


@dataclass(frozen=True, slots=True)
class Trace:
    """The search over time: ends of the axes in words, and two lines as SVG points, the second may be empty."""

    low: str
    high: str
    last: str
    found: str
    bound: str


def page(result: Result, objective: Objective) -> str:
    """Return the page.

    Parameters
    ----------
    result : Result
    objective : Objective
        What was asked for; it turns the trace's costs into values.

    Returns
    -------
    str
        HTML.
    """
    plan = result.plan
    nodes = len({span.node for span in plan.placement})
    values = {
        "title": f"{plan.model} on {nodes} of {len(plan.nodes)} nodes",
        "objective": objective_line(plan.objective),
        "width": WIDTH,
        "colours": COLOURS,
        "stages": stages(plan),
        "idle": idle_nodes(plan),
        "memory": memory(plan),
        "figures": figures(plan),
        "trace": trace(result, objective),
        "found_by": found_by(plan),
        "notes": plan.notes,
    }
    return rendered("plan.html", values)


def colours(plan: Plan) -> dict[str, str]:
    """One colour for each node in use."""
    used = dict.fromkeys(span.node for span in plan.placement)
    return {node: COLOURS[k % len(COLOURS)] for k, node in enumerate(used)}


def stages(plan: Plan) -> list[Stage]:
    """The stages, as wide as they have blocks."""
    colour, scale = colours(plan), WIDTH / plan.n_blocks
    busy = {node.name: node.busy_s for node in plan.nodes}
    return [
        Stage(
            node=span.node,
            blocks=blocks_of(plan, span),
            busy=seconds(busy.get(span.node, 0.0)),
            colour=colour[span.node],
            x=round(span.start * scale, 1),
            width=round((span.stop - span.start) * scale, 1),
        )
        for span in plan.placement
    ]


def memory(plan: Plan) -> list[MemoryBar]:
    """A bar for each node, all to one scale."""
    colour, room = colours(plan), WIDTH - 330
    largest = max((node.memory_bytes for node in plan.nodes), default=1.0) or 1.0
    return [
        MemoryBar(
            name=node.name[:24],
            text=f"{size(node.memory_used_bytes)} of {size(node.memory_bytes)}",
            colour=colour.get(node.name, IDLE),
            outer=round(room * min(node.memory_bytes / largest, 1.0), 1),
            inner=round(room * min(node.memory_used_bytes / largest, 1.0), 1),
        )
        for node in plan.nodes
    ]


def figures(plan: Plan) -> list[tuple[str, str]]:
    """Predicted figures with their intervals, and what limits them."""
    values = term_values(plan, PIPELINE)
    limiter = plan.bottleneck
    return [
        *(
            (title, quantity(values[name], PIPELINE.units[name]) + interval(plan, name))
            for name, title in FIGURES.items()
        ),
        ("bottleneck", f"{limiter.kind} {limiter.where}, {seconds(limiter.seconds)}"),
    ]


def trace(result: Result, objective: Objective) -> Trace | None:
    """The best value over time as steps, and the bound; None when nothing feasible was found."""
    points = [(p.seconds, objective.value(p.cost)) for p in result.trace if p.violation == 0 and isfinite(p.cost)]
    bounds = [(p.seconds, objective.value(p.bound)) for p in result.trace if p.bound > 0]
    if result.bound is not None and points:
        bounds.append((points[-1][0], result.bound))
    if not points:
        return None
    values = [value for _, value in points + bounds if isfinite(value)]
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    low, high, last = low - pad, high + pad, max(points[-1][0], 1e-9)

    def line(steps: Steps) -> str:
        spots: list[str] = []
        before: float | None = None
        for when, value in steps:
            x, y = 70 + (WIDTH - 90) * when / last, 10 + 160 * (high - value) / (high - low)
            spots += [f"{x:.1f},{before:.1f}"] if before is not None else []
            spots.append(f"{x:.1f},{y:.1f}")
            before = y
        return " ".join(spots)

    unit = first_unit(objective)
    return Trace(quantity(low, unit), quantity(high, unit), seconds(last), line(points), line(bounds))


def found_by(plan: Plan) -> str:
    """Which solver, how long, and why it stopped."""
    found = f"Found by {plan.solver}: {plan.evaluations:,} placements in {seconds(plan.seconds)}, seed {plan.seed}"
    return f"{found}; {why_stopped(plan.stopped_by)}. placement {plan.version}"
