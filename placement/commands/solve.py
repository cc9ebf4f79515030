"""`placement solve`: a question of any kind in, a plan out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..files import write_atomic
from ..kinds.asked import Asked, ask
from ..optimize import Result, Search, answer
from ..plan.compare import Neighbour
from ..plan.plan import Plan
from ..report.neighbours import neighbours_view
from ..report.page import page
from ..report.progress import progress_bar
from .options import File, Json, ModelName, ObjectiveName, Out, Quiet, Seed, Set, SolverName, TimeLimit
from .output import console, ensure_writable, exit_code, print_json
from .warm import help_if_cold

Edges = Annotated[
    str | None, typer.Option("--edges", metavar="RULE", help="Replicated placements: exact, or partial spans.")
]
RuntimeName = Annotated[
    str | None,
    typer.Option("--runtime", metavar="NAME", help="Plan what this runtime can hold; wins over the file."),
]
Start = Annotated[
    Path | None,
    typer.Option(
        "--start",
        "--from",
        metavar="PLAN.JSON",
        help="The plan that runs now: begin from it; replicated placements count moved bytes against it.",
    ),
]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Compare the plan with one node less, one more, and the even split by memory."),
]
Report = Annotated[Path | None, typer.Option("--report", metavar="PAGE.HTML", help="Write a page.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(solve)


def solve(
    file: File,
    objective: ObjectiveName = None,
    solver: SolverName = "auto",
    seed: Seed = 0,
    time_limit: TimeLimit = 10.0,
    overrides: Set = None,
    model: ModelName = None,
    runtime: RuntimeName = None,
    edges: Edges = None,
    start: Start = None,
    out: Out = None,
    report: Report = None,
    explain: Explain = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Find the best plan: of a cluster file, a case in Helix's format, a fleet or a swarm."""
    ensure_writable(out, report)
    options: dict[str, object] = {"--runtime": runtime, "--edges": edges, "--start": start, "--report": report}
    options["--explain"] = explain or None
    asked = ask(model, file, objective=objective, overrides=overrides or (), options=options)
    running = Plan.load(start) if start is not None else None
    with help_if_cold(), progress_bar(asked.wish.objective, time_limit, hidden=quiet or json) as show:
        result = answer(asked, Search(solver, time_limit, seed, running, progress=show))
    beside = asked.neighbours(result.plan, running) if explain and result.plan.status != "infeasible" else None
    return deliver(asked, result, out=out, report=report, beside=beside, json=json, quiet=quiet)


def deliver(
    asked: Asked,
    result: Result,
    *,
    out: Path | None,
    report: Path | None,
    json: bool,
    quiet: bool,
    beside: Sequence[Neighbour] | None = None,
) -> int:
    """Write files and show the result, beside other plans if there are any to compare with; return the exit code."""
    plan = result.plan
    interrupted, usable = plan.stopped_by == "interrupted", plan.status != "infeasible"
    if out is not None and usable:
        plan.save(out)
    if report is not None and usable:
        write_atomic(report, page(result, asked.wish.objective))
    if json:
        told = {} if beside is None else {"neighbours": [other.to_dict() for other in beside]}
        print_json({**plan.to_dict(), **told})
    elif not quiet:
        screen = console()
        screen.print(asked.kind.view(plan, ascii_only=screen.options.ascii_only))
        if beside is not None:
            screen.print(neighbours_view(plan, beside))
    return exit_code(interrupted=interrupted, usable=usable, out=out)
