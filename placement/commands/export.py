"""`placement export` and `placement import`: a plan in a runtime's words, and a runtime's split as a plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .options import File, Json, ModelName, Out, Seed, Set, TimeLimit, pairs_of, request_of
from .output import INFEASIBLE, SOLVED, console, ensure_writable, print_json, say

if TYPE_CHECKING:
    from ..plan.plan import Plan
    from ..question.request import Request

LONGEST_SPLIT = 10_000_000
At = Annotated[
    list[str] | None,
    typer.Option("--at", metavar="NODE=ADDRESS", help="Where a node is: host:port, cuda:0, CUDA0, CPU; repeatable."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("export")(export)
    app.command("import")(import_)


def export(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="What `solve --out` wrote.")],
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="accelerate, vllm, llama.cpp, ... (see the README)")],
    out: Out = None,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="What the runtime shall load.")] = "",
    at: At = None,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", metavar="CLUSTER.YAML", help="Check the nodes of the plan too.")
    ] = None,
    nearest: Annotated[
        Path | None,
        typer.Option("--nearest", metavar="CLUSTER.YAML", help="If it cannot be held: the best plan that can be."),
    ] = None,
    style: Annotated[
        str, typer.Option("--style", metavar="NAME", help="petals: shell (default), systemd or compose.")
    ] = "",
    time_limit: TimeLimit = 5.0,
    seed: Seed = 0,
    json: Json = False,
) -> int:
    """Write a plan in the words of a runtime; say what is lost, and refuse what the runtime cannot hold."""
    from ..export.api import export_plan, nearest_plan, refusals
    from ..files import write_atomic
    from ..plan.io import load_plan
    from ..plan.plan import Plan

    ensure_writable(out)
    loaded = load_plan(plan)
    if isinstance(loaded, Plan):
        chosen = loaded
    else:
        from ..export.replicas import exportable

        if nearest is not None:
            raise InputError("plans for a runtime are searched for pipelines only; leave it out", "--nearest")
        chosen = exportable(loaded)
    file = nearest or cluster
    request = request_of(file, None, None) if file is not None else None
    found = refusals(chosen, to, request)
    held = chosen
    if found and nearest is not None and request is not None:
        held = nearest_plan(chosen, to, request, time_limit=time_limit, seed=seed)
    exported = export_plan(held, to, model=model, at=pairs_of(at, "--at", "NODE=ADDRESS"), request=request, style=style)
    remarks = [*_nearest_lines(found, chosen, held), *(f"note: {line}" for line in exported.lost)]
    for line in remarks:
        say(line)
    if out is not None:
        write_atomic(out, exported.text)
    if json:
        print_json(
            {"runtime": to, "text": exported.text, "nodes": exported.nodes, "lost": exported.lost, "refused": found,
             "plan": held.to_dict()}
        )  # fmt: skip
    elif out is None:
        typer.echo(exported.text, nl=False)
    return SOLVED


def _nearest_lines(found: list[str], chosen: Plan, held: Plan) -> list[str]:
    from ..report.table import objective_line

    if not found:
        return []
    return [
        *(f"refused: {line}" for line in found),
        f"your plan:    {objective_line(chosen.objective)}",
        f"nearest plan: {objective_line(held.objective)}",
    ]


def import_(
    file: File,
    source: Annotated[str, typer.Option("--from", metavar="NAME", help="The runtime whose split it is.")],
    split: Annotated[
        str, typer.Option("--split", metavar="SPLIT", help="The split, a file that holds it, or - for standard input.")
    ],
    nodes: Annotated[
        str | None, typer.Option("--nodes", metavar="A,B", help="Nodes in the order of the split; default: all.")
    ] = None,
    at: At = None,
    out: Out = None,
    overrides: Set = None,
    model: ModelName = None,
    json: Json = False,
) -> int:
    """Read a split that a runtime has into a plan, which `score` can judge."""
    from ..export.api import import_split

    ensure_writable(out)
    request = _without_runtime(request_of(file, overrides, model))
    order = [name.strip() for name in nodes.split(",")] if nodes else []
    plan, broken = import_split(_text(split), source, request, nodes=order, at=pairs_of(at, "--at", "NODE=ADDRESS"))
    if out is not None:
        plan.save(out)
    if json:
        print_json(plan.to_dict())
    else:
        _show(plan, broken)
    return INFEASIBLE if broken else SOLVED


def _without_runtime(request: Request) -> Request:
    from dataclasses import replace

    return replace(request, runtime="")


def _show(plan: Plan, broken: tuple[str, ...]) -> None:
    from ..report.table import objective_line, stage_table

    screen = console()
    screen.print(stage_table(plan, ascii_only=screen.options.ascii_only))
    for line in broken:
        screen.print(f"breaks a rule: {line}", style="red", markup=False)
    screen.print(objective_line(plan.objective), markup=False)


def _text(split: str) -> str:
    """The split itself: given, in a file, or on standard input."""
    if split == "-":
        return sys.stdin.read(LONGEST_SPLIT)
    try:
        path = Path(split)
        if not path.is_file():
            return split
        if path.stat().st_size > LONGEST_SPLIT:
            raise InputError(f"expected at most {LONGEST_SPLIT // 1_000_000} MB", split)
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("expected text in UTF-8", split) from None
    except (OSError, ValueError):  # too long for a file name: it is the split
        return split
