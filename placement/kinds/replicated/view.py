"""A replicated placement for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from objectives.combine import REPLICATED
from placement.plan.plan import Plan
from placement.quantities import quantity, seconds
from placement.report.table import front_view, objective_line


def plan_view(plan: Plan) -> RenderableType:
    """Spans by node, figures, bound and how the plan was found."""
    used = plan.placement
    width = max((len(span.node) for span in used), default=0)
    nodes = len(plan.ranges) or len(used)
    text = [f"{plan.model}: {plan.n_blocks} blocks, {len(used)} of {nodes} nodes hold some"]
    for span in sorted(used, key=lambda span: (span.start, span.stop, span.node)):
        text.append(f"  {span.node:{width}s}  blocks {span.start} to {span.stop - 1} ({span.stop - span.start})")
    figures = plan.figures
    text += [
        f"flow            {figures.flow_tokens_per_s:.1f} tokens/s of prompts and outputs ({plan.edges} edges)",
        f"served          {figures.served_tokens_per_s:.1f} output tokens/s, an estimate",
        f"in flight       {figures.in_flight:.0f} requests, up to {figures.stages} stages",
        f"time per token  {seconds(figures.time_per_token_s)} under that load",
        f"first token     {seconds(figures.ttft_s)} under that load",
        f"holders         {figures.min_holders} of the rarest block; every block is up with {figures.survival:.4f}",
        f"price           {quantity(figures.price_per_hour, REPLICATED.units['price'])}",
        f"objective       {objective_line(plan.objective)}",
        *(f"note            {note}" for note in plan.notes),
        f"found by        {plan.solver}, {plan.evaluations:,} placements in {seconds(plan.seconds)}, seed {plan.seed}",
    ]
    return Group(Text("\n".join(text)), *front_view(plan, REPLICATED))
