"""`placement check`: what a file says, what was assumed, and an estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InfeasibleError, NotFoundError
from ..kinds.asked import Asked, ask
from ..optimize import Search, answer
from ..plan.plan import VERSION, Plan
from ..quantities import scaled, size
from ..question.request import Request
from ..report.figures import shown_figures
from .options import Json, ModelName, Set
from .output import INFEASIBLE, NOT_FOUND, SOLVED, console, print_json

GLANCE_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A cluster file, a fleet or a swarm.")],
    overrides: Set = None,
    model: ModelName = None,
    json: Json = False,
) -> int:
    """Read a file, say what is understood and what was assumed, estimate what a quick plan gives, and exit."""
    asked = ask(model, file, overrides=overrides or ())
    facts, notes = understood(asked)
    plan: Plan | None = None
    why: tuple[str, ...] = ()
    code = SOLVED
    try:
        plan = answer(asked, Search(seconds=GLANCE_S)).plan
    except InfeasibleError as error:
        why, code = error.reasons, INFEASIBLE
    except NotFoundError as error:
        why, code = error.reasons, NOT_FOUND
    notes = tuple(dict.fromkeys((*notes, *(plan.notes if plan is not None else ()))))
    if json:
        print_json(_document(asked, facts, notes, plan, why))
        return code
    screen = console()
    for name, words in facts:
        screen.print(f"{name:12s}{words}")
    for note in notes:
        screen.print(f"assumed     {note}")
    if plan is None:
        screen.print(("no plan: " if code == INFEASIBLE else "none found in a second: ") + "; ".join(why))
        return code
    screen.print("\nestimate, of a plan found in a second (placement solve searches and proves)", style="bold")
    for title, value, ends in shown_figures(plan)[:6]:
        screen.print(f"  {title:28s}{value}{f' ({ends})' if ends else ''}")
    return code


def understood(asked: Asked) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """What was read, as names and words, and the notes of the readers."""
    question, facts = asked.question, [("kind", asked.kind.name), ("objective", asked.wish.name)]
    if not isinstance(question, Request):
        return facts, ()
    model, cluster, work = question.model, question.cluster, question.workload
    weights = sum(model.resident_bytes())
    cache = sum(block.kv_bytes(work.context_tokens) for block in model.blocks)
    memory = sum(node.memory_bytes - node.reserve_bytes for node in cluster.nodes)
    rates = cluster.bandwidth_bytes_per_s[(cluster.bandwidth_bytes_per_s > 0) & (cluster.bandwidth_bytes_per_s < 1e17)]
    links = f"{scaled(float(rates.min()), 'B/s')} to {scaled(float(rates.max()), 'B/s')}" if rates.size else "none"
    facts += [
        ("model", f"{model.name}: {model.n_blocks} blocks, {size(weights)} of weights"),
        ("cache", f"{size(cache)} for a sequence of {work.context_tokens} tokens, {_open(question, work.concurrency)}"),
        ("nodes", f"{cluster.n_nodes}: {', '.join(cluster.names[:8])}{', ...' if cluster.n_nodes > 8 else ''}"),
        ("memory", f"{size(memory)} of all nodes together"),
        ("links", links),
    ]
    if question.runtime:
        facts.append(("runtime", question.runtime))
    return facts, (*model.notes, *cluster.notes)


def _open(question: Request, concurrency: int) -> str:
    """How many sequences at once, and what the file leaves open."""
    choices = question.choices
    longer = "; as long as fits is asked for" if choices is not None and choices.context else ""
    many = choices is not None and choices.concurrency
    return ("as many at once as fit" if many else f"{concurrency} at once") + longer


def _document(
    asked: Asked, facts: list[tuple[str, str]], notes: tuple[str, ...], plan: Plan | None, why: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "kind": asked.kind.name,
        "status": "solved" if plan is not None else "no_plan",
        "read": dict(facts),
        "assumed": list(notes),
        "reasons": list(why),
        "figures": plan.to_dict()["figures"] if plan is not None else {},
        "version": VERSION,
    }
