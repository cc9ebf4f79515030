"""Chains through a swarm for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from objectives.routes.terms import ROUTES
from placement.plan.plan import Figures, ObjectiveValue, PlacedSpan, Plan
from placement.quantities import between, quantity, seconds
from placement.report.table import why_stopped

HEADS = {"latency": "ms/token", "throughput": "tokens/s", "price": "price", "reliability": "reliability"}


def plan_view(plan: Plan) -> RenderableType:
    """The front, or the one chain with its figures, and how it was found."""
    parts: list[RenderableType] = [front_table(plan)]
    parts.append(Text(""))
    if not plan.pareto:
        value = plan.objective
        parts.append(Text(f"objective  {value.name} {_worth(value)}"))
        ends = (("time_per_token_s", "s"), ("tokens_per_s", "tokens/s"))
        told = [between(*plan.intervals[name], unit) for name, unit in ends if name in plan.intervals]
        parts.append(Text(f"expect     {' and '.join(told)} in 9 of 10 cases"))
    found = f"{plan.solver}, {plan.evaluations:,} chains in {seconds(plan.seconds)}, seed {plan.seed}"
    parts.append(Text(f"found by   {found}; {why_stopped(plan.stopped_by)}"))
    parts += [Text(f"note: {note}", style="dim") for note in plan.notes]
    return Group(*parts)


def front_table(plan: Plan) -> Table:
    """Every chain of the front, or the only one, with its figures."""
    rows = [(point.figures, point.placement) for point in plan.pareto] or [(plan.figures, plan.placement)]
    named = [name for name in ROUTES.names if name in plan.objective.name]
    shown = list(dict.fromkeys(["latency", "throughput", *named]))
    table = Table(*(HEADS[name] for name in shown), "chain", box=None, pad_edge=False)
    for figures, placement in rows:
        table.add_row(*(_cell(figures, name) for name in shown), stages(placement))
    return table


def stages(placement: Sequence[PlacedSpan]) -> str:
    """The servers with the first and the last block that each computes."""
    return "  ".join(f"{span.node}:{span.start}-{span.stop - 1}" for span in placement)


def _cell(figures: Figures, name: str) -> str:
    value = figures[ROUTES.figures[name]]
    return {"latency": f"{value * 1e3:.1f}", "throughput": f"{value:.3g}"}.get(name, f"{value:.4g}")


def _worth(value: ObjectiveValue) -> str:
    worth = quantity(value.value, value.unit) if value.unit else f"= {value.value:.4g}"
    if value.proven_optimal:
        return f"{worth}, proven optimal"
    if value.bound is None:
        return f"{worth}, no bound is known"
    bound = quantity(value.bound, value.unit)
    return f"{worth}, the proven bound is {bound}"
