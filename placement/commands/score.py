"""`placement score`: how good is the layout that somebody already has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InfeasibleError, InputError, NotFoundError
from ..kinds.asked import Asked, ask
from ..optimize import Search, answer
from ..plan.compare import Scored, compare, parse_spans
from ..plan.plan import PlacedSpan, Plan
from ..quantities import percent
from ..report.progress import progress_bar
from .options import File, Json, ModelName, ObjectiveName, Seed, Set, SolverName, TimeLimit
from .output import INFEASIBLE, INTERRUPTED, SOLVED, console, print_json


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
    """Compare a layout with the best one found: value, gap, and where the difference lies."""
    given, edges = spans_of(spans, plan)
    asked = ask(model, file, objective=objective, overrides=overrides or (), options={"--edges": edges})
    if "score" not in asked.kind.can:
        raise InputError(f"layouts of {asked.kind.name} are not scored; `placement solve` has their figures", str(file))
    if asked.wish.objective.pareto:
        raise InputError("a split is scored by one objective, not by a front", "objective")
    try:
        yours, broken = asked.judge(given)
    except InputError as error:
        raise error.under("--spans" if plan is None else str(plan)) from None
    with progress_bar(asked.wish.objective, time_limit, hidden=json) as show:
        try:
            search = Search(solver, time_limit, seed, None if broken else yours, progress=show, simplest=False)
            best = answer(asked, search).plan
        except (InfeasibleError, NotFoundError) as error:
            lines = (*(f"your split: {line}" for line in broken), *error.reasons)
            raise InfeasibleError(lines) if isinstance(error, InfeasibleError) else NotFoundError(lines) from None
    scored = compare(yours, broken, best)
    if json:
        print_json(scored.to_dict())
    else:
        show_scored(asked, scored)
    return INTERRUPTED if best.stopped_by == "interrupted" else INFEASIBLE if broken else SOLVED


def spans_of(spans: str | None, plan: Path | None) -> tuple[tuple[PlacedSpan, ...], str | None]:
    """The split, from one of the two options, and the edge rule under which it was made, where it has one."""
    if (spans is None) == (plan is None):
        raise InputError("expected either --spans or --plan")
    if plan is None:
        return parse_spans(spans or ""), None
    loaded = Plan.load(plan)
    return loaded.placement, loaded.edges or None


def show_scored(asked: Asked, scored: Scored) -> None:
    """Print the two plans and the verdict."""
    screen = console()
    ascii_only = screen.options.ascii_only
    screen.print("your split", style="bold")
    screen.print(asked.kind.view(scored.yours, ascii_only=ascii_only))
    for line in scored.broken:
        screen.print(f"breaks a rule: {line}", style="red", markup=False)
    if scored.gap_to_best == 0:
        proven = "it is proven optimal" if scored.best.objective.proven_optimal else "nothing better was found"
        screen.print(f"\n{proven}", style="bold")
        return
    screen.print("\nbest found", style="bold")
    screen.print(asked.kind.view(scored.best, ascii_only=ascii_only))
    if scored.gap_to_best is not None:
        screen.print(f"\nyour split is {percent(scored.gap_to_best)} worse than the best found", style="bold")
    for line in scored.why:
        screen.print(f"  {line}", markup=False)
