"""`placement route`: the trades of latency against throughput of chains through a given swarm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import InputError, nearest
from ..report.plot import draw, ensure_drawable
from .options import Json, Seed
from .output import SOLVED, console, ensure_writable, print_json

if TYPE_CHECKING:
    from objectives.routes.swarm import Route, Shape, Swarm

SHAPES = ("star", "chain")
THIRDS = ("price", "reliability")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(route)


def route(
    file: Annotated[Path, typer.Argument(metavar="SWARM.YAML", help="blocks, servers with spans, rtt_ms")],
    shape: Annotated[
        str, typer.Option("--shape", help="star: servers answer the client; chain: one another.")
    ] = "star",
    third: Annotated[str | None, typer.Option("--third", help="Third objective: price or reliability.")] = None,
    precision: Annotated[
        float,
        typer.Option("--precision", metavar="PART", help="Of a third objective: leave out what gains less; 0: exact."),
    ] = 0.02,
    nsga2: Annotated[float, typer.Option("--nsga2", metavar="SECONDS", help="Seconds of NSGA-II; 0 for none.")] = 2.0,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FRONT.PNG", help="Draw the front.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> int:
    """Show the chains through a swarm that no other one beats in latency and throughput."""
    from ..kinds.routes.front import exact_front, exact_front_3d
    from ..kinds.routes.problem import hypervolume_ratio, search_front
    from ..readers.swarm import read_swarm

    if shape not in SHAPES:
        raise InputError(f"expected star or chain, got '{shape}'{nearest(shape, SHAPES)}", "--shape")
    if third is not None and third not in THIRDS:
        raise InputError(f"expected price or reliability, got '{third}'{nearest(third, THIRDS)}", "--third")
    if not nsga2 >= 0:
        raise InputError(f"expected seconds of at least 0, got {nsga2}", "--nsga2")
    if not 0 <= precision < 1:
        raise InputError(f"expected a part of at least 0 and below 1, got {precision}", "--precision")
    ensure_writable(plot)
    ensure_drawable(plot)
    swarm, form = read_swarm(file), cast("Shape", shape)
    exact = exact_front_3d(swarm, form, third, precision=precision) if third else exact_front(swarm, form)
    found: tuple[Route, ...] = ()
    if nsga2 > 0:
        found = search_front(swarm, form, third=third, seconds=nsga2, seed=seed)
    ratio = hypervolume_ratio(found, exact, thirds=third is not None) if found else None
    if plot is not None:
        draw(plot, exact, found, third=third)
    if json:
        print_json(document(swarm, form, third, exact, ratio) | {"precision": precision if third else 0.0})
    else:
        show(swarm, exact, third, ratio)
        if third and precision > 0:
            console().print(f"every chain of the exact front is within {precision:.2%} of one of these", markup=False)
    return SOLVED


def named(swarm: Swarm, way: Route, third: str | None) -> dict[str, Any]:
    """A chain as plain data."""
    data: dict[str, Any] = {
        "latency_s": way.latency_s,
        "tokens_per_s": way.rate,
        "stages": [{"server": swarm.names[j], "start": start, "stop": stop} for j, start, stop in way.stages],
    }
    if third == "price":
        data["price_per_token"] = way.third
    elif third == "reliability":
        import math

        data["survival"] = math.exp(-way.third)
    return data


def document(
    swarm: Swarm, shape: Shape, third: str | None, exact: tuple[Route, ...], ratio: float | None
) -> dict[str, Any]:
    """The front as plain data."""
    from ..plan.plan import VERSION

    return {
        "status": "solved",
        "kind": "routes",
        "shape": shape,
        "front": [named(swarm, way, third) for way in exact],
        "nsga2_hypervolume_ratio": ratio,
        "version": VERSION,
    }


def show(swarm: Swarm, exact: tuple[Route, ...], third: str | None, ratio: float | None) -> None:
    """The front as a table."""
    from rich.table import Table

    table = Table("ms/token", "tokens/s", *([third] if third else []), "chain", box=None, pad_edge=False)
    for way in exact:
        data = named(swarm, way, third)
        more = [f"{next(data[key] for key in ('price_per_token', 'survival') if key in data):.4g}"] if third else []
        stages = "  ".join(f"{s['server']}:{s['start']}-{s['stop'] - 1}" for s in data["stages"])
        table.add_row(f"{way.latency_s * 1e3:.1f}", f"{way.rate:.3g}", *more, stages)
    console().print(table)
    if ratio is not None:
        console().print(f"NSGA-II reaches {ratio:.4f} of the hypervolume of this front", markup=False)
