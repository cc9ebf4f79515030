"""A plan of sessions for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from objectives.combine import SESSIONS
from placement.plan.plan import PlacedChain, Plan
from placement.quantities import between, seconds
from placement.report.table import front_view, objective_line, why_stopped


def plan_view(plan: Plan) -> RenderableType:
    """Chains with capacities and seconds, the rate and the response time with their bounds."""
    figures, status = plan.figures, ""
    if plan.status != "solved":
        status = " (this placement breaks a rule)" if plan.status == "infeasible" else " (interrupted: best so far)"
    used = len({span.node for span in plan.placement})
    lines = [f"{plan.n_blocks} blocks on {used} of {len(plan.nodes)} servers{status}"]
    lines += [f"  {chain.capacity:4d} sessions of {chain.seconds:.3g} s  {way_of(chain)}" for chain in plan.chains]
    lines.append(
        f"rate      {figures.rate_per_s:.4g} sessions/s{_ends(plan, 'rate_per_s', 'sessions/s')}; "
        f"no placement serves more than {figures.rate_bound_per_s:.4g}"
    )
    arrivals = f"{figures.arrivals_per_s:.4g} sessions/s"
    if "response_simulated_s" in figures:
        mean, late = figures.response_simulated_s, figures.response_simulated_p95_s
        ends = _ends(plan, "response_simulated_s", "s")
        lines.append(f"response  {mean:.4g} s mean{ends}, {late:.4g} s for 95 of 100, simulated at {arrivals}")
        lines.append(f"bound     no placement has a mean response below {figures.response_bound_s:.4g} s")
    else:
        lines.append(f"arrivals  {arrivals} are more than that: the queue would grow for ever")
    lines.append(f"objective {objective_line(plan.objective)}")
    lines += [f"note      {note}" for note in plan.notes]
    lines.append(
        f"found by  {plan.solver}, {plan.evaluations:,} placements in {seconds(plan.seconds)}, seed {plan.seed}; "
        f"{why_stopped(plan.stopped_by)}"
    )
    return Group(Text("\n".join(lines)), *front_view(plan, SESSIONS))


def _ends(plan: Plan, figure: str, unit: str) -> str:
    """Where 9 of 10 such figures lie, in brackets; nothing where the plan does not say it."""
    ends = plan.intervals.get(figure)
    return f" ({between(*ends, unit)})" if ends else ""


def way_of(chain: PlacedChain) -> str:
    """Servers with the blocks that a session uses there."""
    starts = (0, *chain.stops)
    parts = zip(chain.nodes, starts, chain.stops, strict=False)
    return "  ".join(f"{node}:{start}-{stop - 1}" for node, start, stop in parts)
