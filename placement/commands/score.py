"""`placement score`: how good is the split that somebody already has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InfeasibleError, InputError
from .options import File, Json, ModelName, ObjectiveName, Seed, Set, SolverName, TimeLimit, request_of
from .output import INFEASIBLE, INTERRUPTED, SOLVED, console, print_json

if TYPE_CHECKING:
    from ..kinds.pipeline.score import Scored
    from ..plan.plan import PlacedSpan


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(score)


def score(
    file: File,
    spans: Annotated[
        str | None, typer.Option("--spans", metavar="SPANS", help="The split: tower-0=0:42,tower-1=42:82")
    ] = None,
    plan: Annotated[Path | None, typer.Option("--plan", metavar="PLAN.JSON", help="The split, as a plan.")] = None,
    objective: ObjectiveName = None,
    solver: SolverName = "auto",
    seed: Seed = 0,
    time_limit: TimeLimit = 5.0,
    overrides: Set = None,
    model: ModelName = None,
    json: Json = False,
) -> int:
    """Compare a split with the best one found: value, gap, and where the difference lies."""
    from ..ask import as_request
    from ..foreign import handler_of
    from ..kinds.pipeline.score import compare, judge
    from ..optimize import optimize
    from ..report.progress import progress_bar

    given, partial = spans_of(spans, plan)
    foreign = handler_of(file) is not None
    asked = None if foreign else request_of(file, overrides, model)
    if asked is None or asked.kind == "replicated":
        from ..kinds.replicated.score import question, score_placement

        case, aim = question(file, asked, objective, partial=partial)
        return score_placement(case, aim, given, solver=solver, seed=seed, time_limit=time_limit, json=json)
    request, _ = as_request(None, asked, None, objective, None)
    if request.objective.pareto:
        raise InputError("a split is scored by one objective, not by a front", "objective")
    yours, broken = judge(request, given)
    with progress_bar(request.objective, time_limit, hidden=json) as show:
        try:
            best = optimize(
                None, request, solver=solver, time_limit=time_limit, seed=seed,
                start=None if broken else yours, progress=show,
            )  # fmt: skip
        except InfeasibleError as error:
            raise InfeasibleError([*(f"your split: {line}" for line in broken), *error.reasons]) from None
    scored = compare(yours, broken, best.plan)
    if json:
        print_json(scored.to_dict())
    else:
        show_scored(scored)
    return INTERRUPTED if best.plan.stopped_by == "interrupted" else INFEASIBLE if broken else SOLVED


def spans_of(spans: str | None, plan: Path | None) -> tuple[tuple[PlacedSpan, ...], bool]:
    """The split, from one of the two options, and whether its spans may be entered anywhere (partial edges)."""
    from ..kinds.pipeline.score import parse_spans
    from ..plan.io import load_plan
    from ..plan.plan import Plan

    if (spans is None) == (plan is None):
        raise InputError("expected either --spans or --plan")
    if plan is not None:
        loaded = load_plan(plan)
        return loaded.placement, not isinstance(loaded, Plan) and loaded.edges == "partial"
    return parse_spans(spans or ""), False


def show_scored(scored: Scored) -> None:
    """Print the two plans and the verdict."""
    from ..quantities import percent
    from ..report.table import objective_line, stage_table

    screen = console()
    ascii_only = screen.options.ascii_only
    screen.print("your split", style="bold")
    screen.print(stage_table(scored.yours, ascii_only=ascii_only))
    for line in scored.broken:
        screen.print(f"breaks a rule: {line}", style="red", markup=False)
    screen.print(objective_line(scored.yours.objective), markup=False)
    if scored.gap_to_best == 0:
        proven = "it is proven optimal" if scored.best.objective.proven_optimal else "nothing better was found"
        screen.print(f"\n{proven}", style="bold")
        return
    screen.print("\nbest found", style="bold")
    screen.print(stage_table(scored.best, ascii_only=ascii_only))
    screen.print(objective_line(scored.best.objective), markup=False)
    if scored.gap_to_best is not None:
        screen.print(f"\nyour split is {percent(scored.gap_to_best)} worse than the best found", style="bold")
    for line in scored.why:
        screen.print(f"  {line}", markup=False)
