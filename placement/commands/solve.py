"""`placement solve`: a cluster file in, a plan out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .options import (
    File,
    Json,
    ModelName,
    ObjectiveName,
    Out,
    Seed,
    Set,
    SolverName,
    TimeLimit,
    for_runtime,
    request_of,
)
from .output import closed, console, ensure_writable, print_json

if TYPE_CHECKING:
    from ..optimize import Result
    from ..question.request import Request


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
    runtime: Annotated[
        str | None,
        typer.Option("--runtime", metavar="NAME", help="Plan what this runtime can hold; wins over the file."),
    ] = None,
    edges: Annotated[
        str, typer.Option("--edges", metavar="RULE", help="Replicated placements: exact, or partial spans.")
    ] = "exact",
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            "--from",
            metavar="PLAN.JSON",
            help="The plan that runs now: begin from it; replicated placements count moved bytes against it.",
        ),
    ] = None,
    out: Out = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="PAGE.HTML", help="Write a page.")] = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no table.")] = False,
) -> int:
    """Find the best placement of a model on a cluster."""
    from ..ask import as_request
    from ..foreign import Ask, handler_of
    from ..optimize import optimize
    from ..plan.plan import Plan
    from ..report.progress import progress_bar
    from .warm import help_if_cold

    ensure_writable(out, report)
    if edges not in ("exact", "partial"):
        raise InputError(f"expected exact or partial, got '{edges}'", "--edges")
    ask = Ask(objective, solver, edges, seed, time_limit, out, json, quiet, start)
    foreign = handler_of(file)
    if foreign is not None:
        return foreign(file, ask)
    request = for_runtime(request_of(file, overrides, model), runtime)
    if request.kind == "replicated":
        from ..kinds.replicated.command import answer_request

        if report is not None:
            raise InputError("pages are for pipelines; take --out or --json", "--report")
        return answer_request(request, ask)
    running = Plan.load(start) if start is not None else None
    asked, _ = as_request(None, request, None, objective, None)
    help_if_cold()
    with progress_bar(asked.objective, time_limit, hidden=quiet or json) as show:
        result = optimize(
            None, request, objective=objective, solver=solver, time_limit=time_limit, seed=seed, start=running,
            progress=show,
        )  # fmt: skip
    return deliver(asked, result, out=out, report=report, json=json, quiet=quiet)


def deliver(request: Request, result: Result, *, out: Path | None, report: Path | None, json: bool, quiet: bool) -> int:
    """Write files and show the result; return the exit code."""
    plan = result.plan
    interrupted = plan.stopped_by == "interrupted"
    usable = plan.status != "infeasible"
    if out is not None and usable:
        plan.save(out)
    if report is not None and usable:
        from ..files import write_atomic
        from ..report.page import page

        write_atomic(report, page(result, request.objective))
    if json:
        print_json(document(request, result))
    elif not quiet:
        from ..report.table import show_result

        show_result(console(), request, result)
    return closed(interrupted=interrupted, usable=usable, out=out)


def document(request: Request, result: Result) -> dict[str, Any]:
    """The plan as JSON, and its Pareto front when there is one."""
    from ..kinds.pipeline.values import term_values

    data = result.plan.to_dict()
    if request.objective.pareto:
        data["pareto"] = [
            {
                "values": {name: term_values(plan)[name] for name in request.objective.pareto},
                "placement": plan.to_dict()["placement"],
                "figures": plan.to_dict()["figures"],
            }
            for plan in result.pareto
        ]
    return data
