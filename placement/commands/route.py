"""`placement route`: `placement solve` for a swarm, with the shape of its chains and a third objective as options."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from objectives.pareto import hypervolume_ratio

from ..kinds.asked import Asked, ask
from ..kinds.routes.solvers.portfolio import FRONTS
from ..optimize import Search, answer
from ..plan.plan import Plan
from ..report.plot import draw, ensure_drawable
from .options import Json, Seed, ShapeOption
from .output import console, ensure_writable, exit_code, print_json


class Third(StrEnum):
    """The third objective."""

    PRICE = "price"
    RELIABILITY = "reliability"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(route)


def route(
    file: Annotated[Path, typer.Argument(metavar="SWARM.YAML", help="blocks, servers with spans, rtt_ms")],
    shape: ShapeOption = None,
    third: Annotated[Third | None, typer.Option("--third", help="Third objective.")] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            "--precision", metavar="PART", help="Of a third objective: leave out what gains less (0.02); 0: exact."
        ),
    ] = None,
    nsga2: Annotated[
        float, typer.Option("--nsga2", metavar="SECONDS", help="Seconds of NSGA-II; 0 for none.", min=0.0)
    ] = 2.0,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FRONT.PNG", help="Draw the front.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> int:
    """Show the chains through a swarm that no other one beats in latency and throughput."""
    ensure_writable(plot)
    ensure_drawable(plot)
    keys = {"shape": shape.value if shape else None, "precision": precision}
    overrides = [f"{key}={value}" for key, value in keys.items() if value is not None]
    objective = ["latency", "throughput", *([third.value] if third else [])]
    asked = ask(None, file, objective=objective, overrides=overrides)
    plan = answer(asked, Search("exact", math.inf, seed)).plan
    found = answer(asked, Search(FRONTS, nsga2, seed)).plan if nsga2 > 0 else None
    ratio = None if found is None else hypervolume_ratio(traded(asked, found), traded(asked, plan))
    if plot is not None:
        draw(plot, plan.pareto, found.pareto if found is not None else (), third=third.value if third else None)
    if json:
        print_json(plan.to_dict() | document(asked, plan, third) | {"nsga2_hypervolume_ratio": ratio})
    else:
        screen = console()
        screen.print(asked.kind.view(plan, ascii_only=screen.options.ascii_only))
        if ratio is not None:
            screen.print(f"NSGA-II reaches {ratio:.4f} of the hypervolume of this front", markup=False)
    return exit_code(interrupted=plan.status == "interrupted", usable=True, out=None)


def document(asked: Asked, plan: Plan, third: Third | None) -> dict[str, Any]:
    """The front in the keys that this command always had, beside those of a plan."""
    figure = asked.kind.terms.figures[third.value] if third else ""
    front = [
        {
            "latency_s": point.figures["time_per_token_s"],
            "tokens_per_s": point.figures["tokens_per_s"],
            "stages": [{"server": span.node, "start": span.start, "stop": span.stop} for span in point.placement],
            **({figure: point.figures[figure]} if third else {}),
        }
        for point in plan.pareto
    ]
    precision = asked.question.precision if third else 0.0
    return {"shape": asked.question.shape, "precision": precision, "front": front}


def traded(asked: Asked, plan: Plan) -> list[list[float]]:
    """The values of the objectives of a front, each minimised."""
    minimised = asked.kind.terms.minimised
    return [[minimised(name, value) for name, value in point.values.items()] for point in plan.pareto]
