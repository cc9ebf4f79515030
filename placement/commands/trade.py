"""`placement trade`: what more context, more sequences or a better format costs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from objectives.clock import clock

from ..errors import InfeasibleError, InputError, NotFoundError
from ..kinds.asked import KEYS, Asked, ask
from ..kinds.trades import BY, Traded, traded
from ..optimize import Search, answer
from ..plan.plan import Plan
from ..quantities import quantity
from .options import File, Json, ModelName, ObjectiveName, Seed, Set, TimeLimit
from .output import INFEASIBLE, NOT_FOUND, SOLVED, console, print_json, say

ROWS = 8  # that share the time
OVER_S = 2.0  # beyond it, in which further rows may begin


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(trade)


def trade(
    file: File,
    by: Annotated[str, typer.Option("--by", metavar="CHOICE", help=f"What is traded: {', '.join(BY)}.")] = BY[0],
    objective: ObjectiveName = None,
    seed: Seed = 0,
    time_limit: TimeLimit = 10.0,
    overrides: Set = None,
    model: ModelName = None,
    json: Json = False,
) -> int:
    """Show the best plan for each context, number of sequences or number format: a front against the objective."""
    asked = ask(model, file, objective=objective, overrides=overrides or ())

    def solve(part: Asked) -> Plan | None:
        try:
            return answer(part, Search("auto", time_limit / ROWS, seed)).plan
        except (InfeasibleError, NotFoundError):
            return None

    until = clock.now() + time_limit + OVER_S

    def late() -> bool:
        return clock.now() > until

    try:
        found = traded(asked, by, solve, late)
    except InputError as error:
        raise error.in_file(str(file), KEYS) from None
    if late():
        say("the time was over: there may be more to choose from, give more with --time-limit")
    if json:
        print_json({"by": by, "choices": [_document(one) for one in found], "complete": not late()})
    else:
        console().print(_table(by, found))
    return SOLVED if found else NOT_FOUND if late() else INFEASIBLE


def _document(one: Traded) -> dict[str, object]:
    data = one.plan.to_dict()
    kept = {key: data[key] for key in ("objective", "placement", "figures")}
    return {"choice": one.choice, "beaten": one.beaten, **kept}


def _table(by: str, found: list[Traded]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    name = found[0].plan.objective.name if found else "value"
    for title in (by, name, "bound", "", "layout"):
        table.add_column(title, overflow="fold")
    for one in found:
        value = one.plan.objective
        bound = "" if value.bound is None else quantity(value.bound, value.unit)
        proof = "proven" if value.proven_optimal else bound
        table.add_row(
            one.choice, quantity(value.value, value.unit), proof, "beaten" if one.beaten else "", _layout(one)
        )
    return table


def _layout(one: Traded) -> str:
    spans = [
        f"{span.node} {span.stop - span.start}{f' ({span.parts_words} away)' if span.away else ''}"
        for span in one.plan.placement
    ]
    return "; ".join(spans[:4]) + (f"; {len(spans) - 4} more" if len(spans) > 4 else "")
