"""One HTML page on a result, with drawings in SVG: it needs no other file and no network."""

from __future__ import annotations

from html import escape
from math import isfinite
from typing import TYPE_CHECKING

from objectives.combine import PIPELINE

from ..plan.values import term_values
from ..quantities import quantity, seconds, size
from .table import blocks_of, idle_nodes, objective_line, why_stopped

if TYPE_CHECKING:
    from objectives.combine import Objective

    from ..optimize import Result
    from ..plan.plan import Plan

COLOURS = ("#3b6ea8", "#c8743c", "#4e9a63", "#a84d5c", "#7a63a8", "#8a7a3c", "#3c98a0", "#77777f")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.4em; } h2 { font-size: 1.05em; margin-top: 2em; }
td, th { padding: .15em 1em .15em 0; text-align: left; vertical-align: top; } th { font-weight: normal; color: #777; }
svg { width: 100%; height: auto; display: block; } svg text { font: 12px system-ui, sans-serif; fill: #222; }
.quiet { color: #777; }
"""
WIDTH = 860.0


def page(result: Result, objective: Objective) -> str:
    """Return the page.

    Parameters
    ----------
    result : Result
    objective : Objective
        What was asked for; it turns the trace's costs into values.
    """
    plan = result.plan
    nodes = len({span.node for span in plan.placement})
    title = f"{escape(plan.model)} on {nodes} of {len(plan.nodes)} nodes"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{escape(objective_line(plan.objective))}.</p>",
        "<h2>Stages</h2>",
        stages(plan),
        stage_rows(plan),
        "<h2>Memory</h2>",
        memory(plan),
        "<h2>Figures</h2>",
        figures(plan),
        "<h2>Search</h2>",
        trace(result, objective),
        f'<p class="quiet">{escape(found_by(plan))}</p>',
        *(f'<p class="quiet">{escape(note)}</p>' for note in plan.notes),
    ]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def colours(plan: Plan) -> dict[str, str]:
    """One colour for each node in use."""
    used = dict.fromkeys(span.node for span in plan.placement)
    return {node: COLOURS[k % len(COLOURS)] for k, node in enumerate(used)}


def stages(plan: Plan) -> str:
    """Draw the stages as one band, as wide as they have blocks."""
    colour, scale, shapes = colours(plan), WIDTH / plan.n_blocks, []
    for span in plan.placement:
        x, width = span.start * scale, (span.stop - span.start) * scale
        tip = f"<title>{escape(span.node)}: {escape(blocks_of(plan, span))}</title>"
        shapes.append(f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="36" fill="{colour[span.node]}" '
                      f'stroke="white">{tip}</rect>')  # fmt: skip
        if width > 8 * len(span.node):
            shapes.append(f'<text x="{x + 6:.1f}" y="23" style="fill:white">{escape(span.node)}</text>')
    return svg(40, shapes)


def stage_rows(plan: Plan) -> str:
    """The stages as a table."""
    busy = {node.name: node.busy_s for node in plan.nodes}
    rows = [
        f"<tr><td>{k}</td><td>{escape(span.node)}</td><td>{escape(blocks_of(plan, span))}</td>"
        f"<td>{seconds(busy.get(span.node, 0.0))}</td></tr>"
        for k, span in enumerate(plan.placement, start=1)
    ]
    idle = idle_nodes(plan)
    rest = f'<p class="quiet">idle: {escape(idle)}</p>' if idle else ""
    head = "<tr><th>stage</th><th>node</th><th>blocks</th><th>busy per micro-batch</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>{rest}"


def memory(plan: Plan) -> str:
    """Draw a bar of used memory for each node, all to one scale."""
    colour = colours(plan)
    largest = max((node.memory_bytes for node in plan.nodes), default=1.0) or 1.0
    shapes = []
    for row, node in enumerate(plan.nodes):
        y, room = 24.0 * row, WIDTH - 330
        outer, inner = (room * min(value / largest, 1.0) for value in (node.memory_bytes, node.memory_used_bytes))
        fill = colour.get(node.name, "#ccc")
        shapes += [
            f'<text x="0" y="{y + 14:.0f}">{escape(node.name[:24])}</text>',
            f'<rect x="170" y="{y + 2:.0f}" width="{outer:.1f}" height="16" fill="#e8e8ec"/>',
            f'<rect x="170" y="{y + 2:.0f}" width="{inner:.1f}" height="16" fill="{fill}"/>',
            f'<text x="{178 + outer:.1f}" y="{y + 14:.0f}">{size(node.memory_used_bytes)} of '
            f"{size(node.memory_bytes)}</text>",
        ]
    return svg(24 * len(plan.nodes), shapes)


def figures(plan: Plan) -> str:
    """Predicted figures."""
    names = {
        "latency": "time per token", "ttft": "time to first token", "throughput": "throughput",
        "request_time": "whole request", "price": "price", "energy": "energy",
    }  # fmt: skip
    values = term_values(plan, PIPELINE)
    rows = [f"<tr><th>{title}</th><td>{quantity(name, values[name])}</td></tr>" for name, title in names.items()]
    limiter = plan.bottleneck
    rows.append(
        f"<tr><th>bottleneck</th><td>{limiter.kind} {escape(limiter.where)}, {seconds(limiter.seconds)}</td></tr>"
    )
    return f"<table>{''.join(rows)}</table>"


def trace(result: Result, objective: Objective) -> str:
    """Draw the best value over time as steps, and the bound as a dashed line."""
    points = [(p.seconds, objective.value(p.cost)) for p in result.trace if p.violation == 0 and isfinite(p.cost)]
    bounds = [(p.seconds, objective.value(p.bound)) for p in result.trace if p.bound > 0]
    if result.bound is not None and points:
        bounds.append((points[-1][0], result.bound))
    if not points:
        return "<p>No feasible placement was found.</p>"
    values = [value for _, value in points + bounds if isfinite(value)]
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    low, high, last = low - pad, high + pad, max(points[-1][0], 1e-9)

    def line(steps: list[tuple[float, float]], style: str) -> str:
        spots: list[str] = []
        before: float | None = None
        for when, value in steps:
            x, y = 70 + (WIDTH - 90) * when / last, 10 + 160 * (high - value) / (high - low)
            spots += [f"{x:.1f},{before:.1f}"] if before is not None else []
            spots.append(f"{x:.1f},{y:.1f}")
            before = y
        return f'<polyline points="{" ".join(spots)}" fill="none" {style}/>'

    name = objective.single or ""
    axis = [
        '<path d="M70 10V170H840" fill="none" stroke="#aaa"/>',
        f'<text x="0" y="20">{quantity(name, high)}</text><text x="0" y="170">{quantity(name, low)}</text>',
        f'<text x="70" y="190">0 s</text><text x="790" y="190">{seconds(last)}</text>',
    ]
    drawn = [*axis, line(points, f'stroke="{COLOURS[0]}" stroke-width="2"')]
    if bounds:
        drawn.append(line(bounds, f'stroke="{COLOURS[1]}" stroke-dasharray="5 4"'))
    return svg(200, drawn) + '<p class="quiet">solid: best value found; dashed: proven bound</p>'


def found_by(plan: Plan) -> str:
    """Which solver, how long, and why it stopped."""
    found = f"Found by {plan.solver}: {plan.evaluations:,} placements in {seconds(plan.seconds)}, seed {plan.seed}"
    return f"{found}; {why_stopped(plan.stopped_by)}. placement {plan.version}"


def svg(height: float, shapes: list[str]) -> str:
    """Wrap shapes into a drawing of the page's width."""
    return f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img">{"".join(shapes)}</svg>'
