"""Options that several commands have, and what they stand for."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, shown
from ..question.request import Request
from ..readers.cluster.read import read_request


class ShapeName(StrEnum):
    """How the servers of a chain answer."""

    STAR = "star"
    CHAIN = "chain"


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
    typer.Option("--objective", metavar="NAME", help="latency, throughput, goodput, ...; a,b for a Pareto front."),
]
SolverName = Annotated[str, typer.Option("--solver", metavar="NAME", help="auto, exact, annealing, genetic, ...")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same search.", min=0)]
TimeLimit = Annotated[float, typer.Option("--time-limit", metavar="SECONDS", help="Seconds of search at most.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no table.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
ShapeOption = Annotated[
    ShapeName | None,
    typer.Option("--shape", help="star: servers answer the client; chain: one another. Wins over the file."),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the result to a file; atomic.")]


def pairs_of(given: list[str] | None, option: str, expected: str = "NODE=VALUE") -> dict[str, str]:
    """Values by name of an option that may be repeated, such as ``--device tower=cuda:0``."""
    found: dict[str, str] = {}
    for item in given or ():
        name, equals, value = (part.strip() for part in item.partition("="))
        if not (name and equals and value):
            raise InputError(f"expected {expected}, got {shown(item)}", option)
        found[name] = value
    return found


def request_of(file: Path, overrides: list[str] | None, model: str | None) -> Request:
    """Read a cluster file with its overrides; for commands that take nothing else."""
    return read_request(file, overrides=overrides or (), model=model)
