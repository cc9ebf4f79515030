"""`placement solve`: a question of any kind in, a plan out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..export.api import export_plan, refusals
from ..files import write_atomic
from ..kinds.asked import Asked, ask
from ..kinds.called import called_for
from ..optimize import Result, Search, answer
from ..plan.compare import Neighbour
from ..plan.plan import Plan
from ..profile.here import called_here, this_machine
from ..report.neighbours import neighbours_view
from ..report.progress import progress_bar
from .options import Json, ModelName, ObjectiveName, Out, Quiet, Seed, Set, SolverName, TimeLimit, pairs_of
from .output import console, ensure_writable, exit_code, print_json
from .report import page_of
from .traffic import rate_of
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
Rate = Annotated[str | None, typer.Option("--rate", metavar="4/s", help="Requests by time, for goodput.")]
Limit = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="NAME=VALUE", help="ttft=2s, price='3 $/h', goodput=3/s, ...; repeatable."),
]
Here = Annotated[
    bool, typer.Option("--here", help="Plan for this machine: its GPUs, its memory, its processor; needs --model.")
]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Compare the plan with one node less, one more, and the even split by memory."),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="PAGE.HTML", help="Write a page: placement report."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(solve)


def solve(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="cluster.yaml: model, nodes, network (see the README)")
    ] = None,
    here: Here = False,
    objective: ObjectiveName = None,
    solver: SolverName = "auto",
    seed: Seed = 0,
    time_limit: TimeLimit = 10.0,
    overrides: Set = None,
    model: ModelName = None,
    rate: Rate = None,
    limit: Limit = None,
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
    if (file is None) == (not here):
        raise InputError("expected a file, or --here for this machine")
    source = this_machine() if file is None else file
    options: dict[str, object] = {"--runtime": runtime, "--edges": edges, "--start": start, "--report": report}
    options["--explain"], options["--limit"] = explain or None, limit or None
    options["--rate"] = None if rate is None else rate_of(rate)
    limits = [f"limits.{name}={value}" for name, value in pairs_of(limit, "--limit", "NAME=VALUE").items()]
    asked = ask(model, source, objective=objective, overrides=[*(overrides or ()), *limits], options=options)
    if explain and asked.wish.goodput is not None:
        raise InputError("does not apply to goodput: plans beside the best one are not simulated", "--explain")
    running = Plan.load(start) if start is not None else None
    with help_if_cold(), progress_bar(asked.wish.objective, time_limit, hidden=quiet or json) as show:
        result = answer(asked, Search(solver, time_limit, seed, running, progress=show))
    beside = asked.neighbours(result.plan, running) if explain and result.plan.status != "infeasible" else None
    code = deliver(asked, result, out=out, report=report, beside=beside, json=json, quiet=quiet)
    if here and not (json or quiet):
        _show_command(asked, result.plan)
    return code


def _show_command(asked: Asked, plan: Plan) -> None:
    """The command line that runs a plan of this machine, of the first runtime that can hold it."""
    at = called_here(plan)
    for runtime in ("llama.cpp", "vllm"):
        if not refusals(plan, runtime):
            where = at if runtime == "llama.cpp" else called_for(plan, runtime, {}).at
            lines = export_plan(plan, runtime, at=where).text.splitlines()
            screen = console()
            screen.print(f"\nwith {runtime}:", style="bold")
            for line in lines:
                if not line.startswith("#"):
                    typer.echo(line)
            return


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
        write_atomic(report, page_of(plan))
    if json:
        told = {} if beside is None else {"neighbours": [other.to_dict() for other in beside]}
        print_json({**plan.to_dict(), **told})
    elif not quiet:
        screen = console()
        screen.print(asked.kind.view(plan, ascii_only=screen.options.ascii_only))
        if beside is not None:
            screen.print(neighbours_view(plan, beside))
    return exit_code(interrupted=interrupted, usable=usable, out=out)
