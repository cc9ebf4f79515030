"""`placement replan`: the next plan when nodes were lost or came."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..kinds import kind_named
from ..kinds.pipeline.replan import replan as next_plan
from ..plan.plan import Plan
from ..readers import units
from ..readers.cluster.read import read_request
from ..report.table import stage_table
from .options import Json, Out, Seed, TimeLimit
from .output import SOLVED, console, ensure_writable, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replan)


def replan(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="The plan that runs now.")],
    cluster: Annotated[Path, typer.Argument(metavar="CLUSTER.YAML")],
    lost: Annotated[list[str] | None, typer.Option("--lost", metavar="NODE", help="A node that is gone.")] = None,
    model: Annotated[str | None, typer.Option("--model")] = None,
    load_rate: Annotated[str, typer.Option("--load-rate", help="How fast nodes load weights.")] = "500 MB/s",
    horizon: Annotated[float, typer.Option("--horizon", help="Decode steps that the loading is spread over.")] = 1000.0,
    time_limit: TimeLimit = 5.0,
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
) -> int:
    """Find the next plan when nodes were lost or came: bytes that must be loaded are a cost."""
    ensure_writable(out)
    try:
        rate = units.bandwidth(load_rate)
    except ValueError as error:
        raise InputError(str(error), "--load-rate") from None
    running = Plan.load(plan)
    if "replan" not in kind_named(running.kind, plan).can:
        raise InputError(f"a plan of the kind '{running.kind}' is not planned anew; solve its file again", str(plan))
    request = read_request(cluster, model=model)
    for name in lost or []:
        request.cluster.index(name)
    found = next_plan(
        running,
        None,
        request,
        lost=lost or [],
        load_bytes_per_s=rate,
        horizon_tokens=horizon,
        time_limit=time_limit,
        seed=seed,
    )
    if out:
        found.plan.save(out)
    if json:
        moves = [{"node": m.node, "block": m.block, "bytes": m.n_bytes} for m in found.moves]
        print_json({**found.plan.to_dict(), "moves": moves, "moved_bytes": found.moved_bytes, "load_s": found.load_s})
        return SOLVED
    screen = console()
    screen.print(stage_table(found.plan, ascii_only=screen.options.ascii_only))
    screen.print(f"{len(found.moves)} blocks to load, {found.moved_bytes / 1e6:.1f} MB, about {found.load_s:.1f} s")
    return SOLVED
