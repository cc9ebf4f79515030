"""Options that several commands have, and the request that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..question.request import Request

File = Annotated[Path, typer.Argument(metavar="FILE", help="cluster.yaml: model, nodes, network (see the README)")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="Preset or path; wins over the file's model.", metavar="MODEL")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key: workload.concurrency=8, nodes[0].memory='16 GiB'"),
]
ObjectiveName = Annotated[
    str | None,
    typer.Option("--objective", metavar="NAME", help="latency, ttft, throughput, ...; a,b for a Pareto front."),
]
SolverName = Annotated[str, typer.Option("--solver", metavar="NAME", help="auto, exact, annealing, genetic, ...")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same search.", min=0)]
TimeLimit = Annotated[float, typer.Option("--time-limit", metavar="SECONDS", help="Seconds of search at most.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="PLAN.JSON", help="Write the plan; atomic.")]


def for_runtime(request: Request, runtime: str | None) -> Request:
    """The request under the rules of a runtime; None leaves it as the file has it."""
    name = request.runtime if runtime is None else runtime
    if not name:
        return request
    from dataclasses import replace

    from ..catalog.runtimes import runtime_aliases
    from ..errors import InputError
    from ..registry import make_runtime, runtime_names

    if name in runtime_aliases() and name not in runtime_names():  # only its costs are known: it holds any plan
        return replace(request, runtime=name)
    chosen = make_runtime(name)
    if request.kind == "replicated" and not chosen.holds.replicas:
        raise InputError(f"{name} holds every block once, the placement is replicated", "runtime")
    return replace(request, runtime=name)


def request_of(file: Path, overrides: list[str] | None, model: str | None) -> Request:
    """Read the cluster file with its overrides."""
    from ..readers.cluster.read import read_request

    return read_request(file, overrides=overrides or (), model=model)
