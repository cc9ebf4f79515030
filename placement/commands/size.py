"""`placement size`: the cheapest nodes that reach a target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..files import read_document
from ..kinds.asked import ask
from ..quantities import quantity
from ..question.request import Request
from ..readers import units
from ..readers.overrides import apply_overrides
from ..report.progress import text_bar
from ..whatif.answers import rooted
from ..whatif.size import Candidate, Sized, Wanted, from_catalog, from_nodes, region_of, sized
from ..whatif.targets import parse_targets
from .options import File, Json, Out, Quiet, Seed, Set
from .output import INFEASIBLE, NOT_FOUND, SOLVED, console, ensure_writable, print_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(size)


def size(
    file: File,
    target: Annotated[
        list[str],
        typer.Option("--target", metavar="'FIGURE >= VALUE'", help="tokens_per_s >= 20; ttft <= 1 s; ..."),
    ],
    budget: Annotated[str | None, typer.Option("--budget", metavar="'3 $/h'", help="Rent that may be added.")] = None,
    source: Annotated[
        str, typer.Option("--from", metavar="catalog|NODES.YAML", help="What can be had; `count` is how many of it.")
    ] = "catalog",
    whole: Annotated[bool, typer.Option("--whole", help="A whole cluster in the place of the file's nodes.")] = False,
    most: Annotated[int, typer.Option("--most", help="Nodes that may be added.", min=1, max=64)] = 4,
    overrides: Set = None,
    seconds: Annotated[float, typer.Option("--time-limit", metavar="SECONDS", help="Of search at most.")] = 30.0,
    seed: Seed = 0,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Find the cheapest nodes to add (or the cheapest cluster) that reach a target, and say whether that is proven."""
    ensure_writable(out)
    data = apply_overrides(rooted(read_document(file, expect=("model", "nodes")), file.parent), overrides or ())
    if "nodes" not in data:
        raise InputError("has no key 'nodes' to which nodes could be added", str(file))
    base = ask(None, file, overrides=overrides or ())
    targets = parse_targets(target, base.kind.terms)
    candidates = _candidates(source, region_of(data), most)
    question = base.question
    model = question.model if isinstance(question, Request) and question.choices is None else None
    wanted = Wanted(data, targets, candidates, _budget(budget), most, whole, model)
    with text_bar(seconds, first="what is there", hidden=quiet or json) as move:
        show = None if move is None else lambda tried, text: move(0.0, f"{tried} sets, {text}")
        found = sized(wanted, seconds=seconds, seed=seed, show=show)
    if out is not None and found.plan is not None:
        found.plan.save(out)
    if json:
        print_json(found.to_dict())
    elif not quiet:
        _show(found, target)
    if found.plan is not None:
        return SOLVED
    return INFEASIBLE if found.proven else NOT_FOUND


def _candidates(source: str, region: str | None, most: int) -> tuple[Candidate, ...]:
    if source == "catalog":
        return from_catalog(region, most)
    return from_nodes(read_document(Path(source), expect=("nodes",)), source, region, most)


def _budget(text: str | None) -> float:
    try:
        return float("inf") if text is None else units.price_per_hour(text)
    except ValueError as error:
        raise InputError(str(error), "--budget") from None


def _show(found: Sized, target: list[str]) -> None:
    wanted = ", ".join(target)
    if found.plan is None:
        late = "the time was over" if not found.complete else f"{found.undecided} sets could not be decided"
        proof = "proven" if found.proven else f"not proven: {late}"
        say(f"no set of these nodes reaches {wanted} within the budget ({proof}; {found.tried} sets)")
        return
    names = " + ".join(f"{count} x {name}" for name, count in found.chosen) or "nothing: what is there is enough"
    screen = console()
    screen.print(f"add {names}", style="bold")
    rent = f"{quantity(found.price_per_hour, '$/h')} more; " if found.chosen else ""
    value = found.plan.objective
    screen.print(f"{rent}{value.name} {quantity(value.value, value.unit)} or better")
    proof = "no cheaper set reaches it" if found.proven else "not proven: cheaper sets could not all be decided"
    screen.print(f"{proof} ({found.tried} sets looked at)")
    for span in found.plan.placement:
        screen.print(f"  {span.node}: blocks {span.start} to {span.stop - 1}")
