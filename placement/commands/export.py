"""`placement export` and `placement import`: a plan in a runtime's words, and a runtime's split as a plan."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..export.api import RefusedError, export_plan, refusals
from ..export.base import LONGEST_SPLIT
from ..export.replicas import exportable
from ..files import read_input, read_text, write_atomic
from ..kinds import kind_named
from ..kinds.called import Called, called_for
from ..kinds.pipeline.imported import import_split
from ..kinds.rules import written_for
from ..optimize import optimize
from ..plan.plan import Plan
from ..profile.here import called_here
from ..question.request import Request
from ..report.table import objective_line, stage_table
from .options import File, Json, ModelName, Out, Seed, Set, TimeLimit, pairs_of, request_of
from .output import INFEASIBLE, SOLVED, console, ensure_writable, print_json, say

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
    to: Annotated[
        str, typer.Option("--to", metavar="NAME", help="accelerate, vllm, llama.cpp, ... or another name of one")
    ],
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
    ensure_writable(out)
    chosen = Plan.load(plan)
    if "export" not in kind_named(chosen.kind, plan).can:
        raise InputError(f"plans of the kind {chosen.kind} are not exported", str(plan))
    if chosen.kind != "pipeline" and nearest is not None:
        raise InputError("plans for a runtime are searched for pipelines only; leave it out", "--nearest")
    chosen, asked_for, to = exportable(chosen), to, written_for(to)
    file = nearest or cluster
    request = request_of(file, None, None) if file is not None else None
    found = refusals(chosen, to, request)
    held = chosen
    if found and nearest is not None and request is not None:
        held = nearest_plan(chosen, asked_for, request, time_limit=time_limit, seed=seed)
    addresses = pairs_of(at, "--at", "NODE=ADDRESS")
    here = called_here(held) if to == "llama.cpp" and not addresses else {}
    called = Called(here) if here else called_for(held, to, addresses)
    try:
        exported = export_plan(held, to, model=model, at=called.at, request=request, style=style)
    except RefusedError as error:
        raise error.under(str(plan)) from None
    lost = (*called.notes, *exported.lost)
    if not model:
        format_ = f", with weights in {chosen.weights}" if chosen.weights else ""
        lost = (*lost, f"{chosen.model} stands for what {to} shall load{format_}: --model NAME")
    elif chosen.weights:
        lost = (*lost, f"memory was counted for weights in {chosen.weights}: {model} must have these")
    if to != asked_for:
        lost = (f"{asked_for} runs {to}: written in its words", *lost)
    remarks = [*_nearest_lines(found, chosen, held), *(f"note: {line}" for line in lost)]
    for line in remarks:
        say(line)
    if out is not None:
        write_atomic(out, exported.text)
    if json:
        print_json(
            {
                "runtime": to,
                "text": exported.text,
                "nodes": exported.nodes,
                "lost": lost,
                "refused": found,
                "plan": held.to_dict(),
            }
        )
    elif out is None:
        typer.echo(exported.text, nl=False)
    return SOLVED


def nearest_plan(plan: Plan, runtime: str, request: Request, *, time_limit: float = 10.0, seed: int = 0) -> Plan:
    """The best plan that a runtime can hold.

    Parameters
    ----------
    plan : Plan
        The one that it cannot hold; only its number of blocks counts.
    runtime : str
    request : Request
    time_limit : float
        Seconds of search.
    seed : int
    """
    if plan.n_blocks != request.model.n_blocks:
        model = request.model
        raise InputError(f"the plan is for {plan.n_blocks} blocks, the model {model.name} has {model.n_blocks}")
    # The plan is no start: one that is refused for its shape need not be a genome under the rules of the runtime.
    return optimize(None, replace(request, runtime=runtime), time_limit=time_limit, seed=seed).plan


def _nearest_lines(found: list[str], chosen: Plan, held: Plan) -> list[str]:
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
    ensure_writable(out)
    request = _without_runtime(request_of(file, overrides, model))
    order = [name.strip() for name in nodes.split(",")] if nodes else []
    addresses = pairs_of(at, "--at", "NODE=ADDRESS")
    plan, broken = import_split(_text(split), written_for(source), request, nodes=order, at=addresses)
    if out is not None:
        plan.save(out)
    if json:
        print_json(plan.to_dict())
    else:
        _show(plan, broken)
    return INFEASIBLE if broken else SOLVED


def _without_runtime(request: Request) -> Request:
    return replace(request, runtime="")


def _show(plan: Plan, broken: tuple[str, ...]) -> None:
    screen = console()
    screen.print(stage_table(plan, ascii_only=screen.options.ascii_only))
    for line in broken:
        screen.print(f"breaks a rule: {line}", style="red", markup=False)
    screen.print(objective_line(plan.objective), markup=False)


def _text(split: str) -> str:
    """The split itself: given, in a file, or on standard input."""
    if split == "-":
        return read_input(LONGEST_SPLIT)
    # Of any text: what is too long for a file name is the split.
    return read_text(split, LONGEST_SPLIT) if os.path.isfile(split) else split
