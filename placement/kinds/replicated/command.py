"""`placement solve` for replicated placements: cluster files that ask for them, and cases in Helix's format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from placement.errors import InfeasibleError, InputError, nearest
from placement.foreign import Ask
from placement.quantities import quantity, seconds
from placement.question.request import Request

if TYPE_CHECKING:
    from objectives.combine import Objective
    from placement.question.case import ReplicatedCase
    from placement.search.solver import Solver

    from .plan import ReplicatedPlan

# Splits of today's swarms.
YARDSTICKS = {"petals": "Petals", "equal_stages": "EqualStages", "separate": "Separate", "chain": "Chain"}


def answer(path: Path, ask: Ask) -> int:
    """Solve a case in Helix's format and show the plan; return the exit code."""
    from placement.readers.helix import load_helix

    from .solve import replicated_objective

    case = load_helix(path, partial=ask.edges == "partial")
    return show(case, replicated_objective(ask.objective or "served"), ask)


def answer_request(request: Request, ask: Ask) -> int:
    """Solve a cluster file with ``placement: replicated`` and show the plan; return the exit code."""
    from .case import case_of, objective_of

    if request.min_replicas > request.cluster.n_nodes:
        raise InputError(f"expected at most {request.cluster.n_nodes}, the number of nodes", "min_replicas")
    objective, partial = objective_of(request, ask.objective), ask.edges == "partial"
    if request.runtime == "petals":
        from placement.petals.request import limits, servers_only, with_client

        layers = servers_only(request)
        return show(case_of(layers, partial=partial, most=limits(layers)), objective, ask, with_client)
    return show(case_of(request, partial=partial), objective, ask)


def solver_of(name: str) -> Solver | None:
    """Make a solver by name; None is the portfolio."""
    from placement.registry import SOLVERS

    from .solvers import yardsticks as swarm_yardsticks

    if name == "auto":
        return None
    searching = [name for name, entry in SOLVERS.items() if "replicated" in entry.kinds]
    if name in searching:
        return SOLVERS[name].make()
    if name in YARDSTICKS:
        made: Solver = getattr(swarm_yardsticks, YARDSTICKS[name])()
        return made
    known = (*searching, *YARDSTICKS)
    raise InputError(f"'{name}' does not place replicas{nearest(name, known)} (known: {', '.join(known)})", "--solver")


def show(
    case: ReplicatedCase,
    objective: Objective,
    ask: Ask,
    finish: Callable[[ReplicatedPlan], ReplicatedPlan] | None = None,
) -> int:
    """Solve, `finish` the plan, write, print; return the exit code."""
    from placement.commands.output import closed, console, print_json
    from placement.plan.io import load_plan
    from placement.report.progress import progress_bar

    from .solve import solve_replicated

    running = load_plan(ask.start) if ask.start is not None else None
    solver = solver_of(ask.solver)
    with progress_bar(objective, ask.time_limit, hidden=ask.quiet or ask.json) as move:
        plan = solve_replicated(
            case, objective=objective, solver=solver, time_limit=ask.time_limit, seed=ask.seed, start=running,
            progress=move,
        )  # fmt: skip
    interrupted, usable = plan.stopped_by == "interrupted", plan.status != "infeasible"
    if not usable and not interrupted:
        raise InfeasibleError(["no replicated placement was found that holds every block and meets the limits"])
    if usable and finish is not None:
        plan = finish(plan)
    if ask.out is not None and usable:
        plan.save(ask.out)
    if ask.json:
        print_json(plan.to_dict())
    elif not ask.quiet:
        console().print("\n".join(lines(plan)), markup=False, highlight=False)
    return closed(interrupted=interrupted, usable=usable, out=ask.out)


def lines(plan: ReplicatedPlan) -> list[str]:
    """The plan for people."""
    used = [span for span in plan.placement if span.stop > span.start]
    width = max(len(span.node) for span in used)
    text = [f"{plan.model}: {plan.n_blocks} blocks, {len(used)} of {len(plan.ranges)} nodes hold some"]
    for span in sorted(used, key=lambda span: (span.start, span.stop, span.node)):
        text.append(f"  {span.node:{width}s}  blocks {span.start} to {span.stop - 1} ({span.stop - span.start})")
    figures, value = plan.figures, plan.objective
    text += [
        f"flow            {figures.flow_tokens_per_s:.1f} tokens/s of prompts and outputs ({plan.edges} edges)",
        f"served          {figures.served_tokens_per_s:.1f} output tokens/s, an estimate",
        f"in flight       {figures.in_flight:.0f} requests, up to {figures.stages} stages",
        f"time per token  {seconds(figures.time_per_token_s)} under that load",
        f"first token     {seconds(figures.ttft_s)} under that load",
        f"holders         {figures.min_holders} of the rarest block; every block is up with {figures.survival:.4f}",
        f"price           {quantity('price', figures.price_per_hour)}",
    ]
    known = "no bound is known"
    if value.bound is not None and value.gap is not None:
        known = "proven optimal" if value.proven_optimal else f"at most {value.gap:.1%} from the proven bound"
    text.append(f"objective       {value.name} {value.value:.4f} {value.unit}, {known}")
    text += [f"proven          {note}" for note in plan.notes]
    text.append(f"found by        {plan.solver}, {plan.evaluations:,} placements in {seconds(plan.seconds)}")
    return text
