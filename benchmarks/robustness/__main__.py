"""``python -m benchmarks.robustness``: a table of what broke, door by door; exit code 1 when anything did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from placement.errors import InputError, nearest

from .attack import Tally, attack

DOORS = (
    "cluster",
    "replicated",
    "fleet",
    "swarm",
    "helix",
    "plan",
    "runs",
    "calibrate",
    "split",
    "config",
    "index",
    "options",
    "question",
    "open",
    "copies",
    "pages",
    "beside",
    "offers",
    "inventory",
    "trace",
)


def main(
    inputs: Annotated[int, typer.Option("--inputs", help="At each door.", min=1)] = 500,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other inputs.", min=0)] = 0,
    only: Annotated[str, typer.Option("--only", metavar="A,B", help="Doors, comma-separated.")] = "",
    first: Annotated[int, typer.Option("--first", help="Number of the first input.", min=0)] = 0,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Where failing inputs go.")] = None,
) -> None:
    """Try broken inputs at every door."""
    names = [name.strip() for name in only.split(",")] if only else list(DOORS)
    for name in names:
        if name not in DOORS:
            raise InputError(f"unknown door '{name}'{nearest(name, DOORS)} (known: {', '.join(DOORS)})", "--only")
    folder = keep.resolve() if keep else None
    found = {}
    for name in names:
        found[name] = attack(name, range(first, first + inputs), seed, keep=folder, show=typer.echo)
        typer.echo(f"{name}: {found[name].inputs} inputs, {sum(found[name].wrong.values())} failures", err=True)
    typer.echo(table(found))
    sys.exit(any(tally.wrong for tally in found.values()))


def table(found: dict[str, Tally]) -> str:
    """Doors, inputs, exit codes and failures as Markdown."""
    lines = [
        "| door | inputs | answered | refused | infeasible | not found | slowest | failures |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, tally in found.items():
        codes = " | ".join(str(tally.codes[code]) for code in (0, 1, 2, 3))
        wrong = ", ".join(f"{count} {what}" for what, count in sorted(tally.wrong.items())) or "none"
        lines.append(f"| {name} | {tally.inputs} | {codes} | {tally.slowest_s:.1f} s | {wrong} |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        sys.exit(f"error: {error}")
