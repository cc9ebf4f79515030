"""One HTML page on a plan of any kind: drawings in SVG, no other file, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..plan.picture import Place
from ..plan.plan import FrontPoint, Limiter, Plan
from ..quantities import quantity, seconds
from .cluster_map import cluster_map, link_words
from .curves import front_chart, load_charts, search_chart
from .figures import shown_figures, words_of
from .html import rendered
from .rows import USES, rows_of
from .shades import DARK, LIGHT
from .table import idle_nodes, objective_line, why_stopped
from .timeline import decode_gantt, prefill_gantt

WIDE, NARROW = 920.0, 380.0  # of the drawings: one is shown on a screen, the other one on a phone
MOST_CHOICES = 60
MOST_LINKS = 40
Drawing = TypeVar("Drawing")


@dataclass(frozen=True, slots=True)
class Command:
    """How a runtime is started with the plan: its name, the text, and what it does in another way than the plan."""

    runtime: str
    text: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extras:
    """What a page shows beside the plan.

    Attributes
    ----------
    units : mapping of str to str
        Units of the objectives by name.
    commands : tuple of Command
    refused : tuple of (str, str)
        Runtimes that cannot hold the plan, and why.
    whatif : tuple of mapping
        Rows of `placement whatif --json`.
    runs : tuple of mapping
        Runs of `placement simulate --json`.
    """

    units: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[Command, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    whatif: tuple[Mapping[str, Any], ...] = ()
    runs: tuple[Mapping[str, Any], ...] = ()


def page(plan: Plan, extras: Extras | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    plan : Plan
    extras : Extras, optional
        Commands, what-ifs and simulated runs, where there are any.

    Returns
    -------
    str
        HTML.
    """
    extras = extras or Extras()
    picture = plan.picture
    rows, more = rows_of(plan)
    hot = plan.bottleneck.where if plan.bottleneck.kind == "node" else ""
    limiter = plan.bottleneck
    lines = picture.lines if picture is not None else ()
    values = {
        "title": title_of(plan),
        "light": list(enumerate(LIGHT)),
        "dark": list(enumerate(DARK)),
        "objective": asked_words(plan),
        "proven": plan.objective.proven_optimal,
        "status": plan.status,
        "space": plan.space,
        "headline": headline(plan),
        "bottleneck": f"{limiter.kind} {limiter.where}, busy {seconds(limiter.seconds)}" if limiter.kind else "",
        "maps": both(lambda width: cluster_map(plan, width=width)),
        "links": [(link_words(line), line.used) for line in lines[:MOST_LINKS]],
        "more_links": max(0, len(lines) - MOST_LINKS),
        "rows": rows,
        "more_rows": more,
        "memory_known": any(row.memory for row in rows),
        "uses": USES,
        "idle": idle_nodes(plan),
        "blocks": plan.n_blocks,
        "figures": shown_figures(plan),
        "decode": both(lambda width: decode_gantt(picture, width=width, hot=hot) if picture else None),
        "prefill": both(lambda width: prefill_gantt(picture, width=width, hot=hot) if picture else None),
        "search": both(
            lambda width: search_chart(
                picture.search if picture else (), plan.objective.unit, plan.objective.name, width=width
            )
        ),
        "front": both(lambda width: front_chart(plan.pareto[:MOST_CHOICES], extras.units, width=width)),
        "choices": [choice(plan, point, extras.units) for point in plan.pareto[:MOST_CHOICES]],
        "loads": [part for width in (WIDE, NARROW) for part in load_charts(extras.runs, width=width)],
        "whatif": extras.whatif,
        "commands": extras.commands,
        "refused": extras.refused,
        "found_by": found_by(plan),
        "notes": plan.notes,
        "narrow": NARROW,
        "standalone": False,
    }
    return rendered("plan.html", values)


def both(draw: Callable[[float], Drawing | None]) -> list[Drawing]:
    """A drawing for a screen and one for a phone; none where there is nothing to draw."""
    return [found for found in map(draw, (WIDE, NARROW)) if found is not None]


def title_of(plan: Plan) -> str:
    """The model, and how many of the nodes hold it."""
    used = len({span.node for span in plan.placement})
    known = len(plan.picture.places) if plan.picture is not None and plan.picture.places else len(plan.nodes)
    nodes = f"{used} of {known} nodes" if known >= used and known else f"{used} nodes"
    return f"{plan.model or f'{plan.n_blocks} blocks'} on {nodes}"


HEADLINES = (
    ("tokens_per_s", "time_per_token_s", "ttft_s"),
    ("served_tokens_per_s", "time_per_token_s", "ttft_s"),
    ("rate_per_s", "response_simulated_s", "sessions_at_once"),
)


def asked_words(plan: Plan) -> str:
    """The objective's value with its bound; of a front, how many plans it has, and whether one may be missing."""
    if len(plan.pareto) < 2:
        return objective_line(plan.objective)
    names = " and ".join(plan.pareto[0].values)
    proof = ", and none is missing" if plan.objective.proven_optimal else ""
    return f"{len(plan.pareto)} plans that no other one beats in {names}{proof}; the first of them is drawn"


def headline(plan: Plan) -> list[tuple[str, str, str]]:
    """The three figures that are shown largest."""
    names = next((row for row in HEADLINES if row[0] in plan.figures), ())
    shown = {title: (value, ends) for title, value, ends in shown_figures(plan)}
    return [(words_of(name)[0], *shown[words_of(name)[0]]) for name in names if name in plan.figures]


def choice(plan: Plan, point: FrontPoint, units: Mapping[str, str]) -> dict[str, Any]:
    """A plan of the front: its map and its words."""
    drawn = as_chosen(plan, point)
    return {
        "maps": both(lambda width: cluster_map(drawn, width=width)),
        "values": [(name, quantity(value, units.get(name, ""))) for name, value in point.values.items()],
        "spans": [f"{span.node}={span.start}:{span.stop}" for span in point.placement],
    }


def as_chosen(plan: Plan, point: FrontPoint) -> Plan:
    """The plan of a point as far as a map shows it; how its nodes' memory is used is known of the first point only."""
    picture = plan.picture
    if picture is not None:
        known = [Place(place.name, place.region, place.host, place.device) for place in picture.places]
        picture = replace(picture, places=tuple(known))
    return replace(plan, placement=point.placement, chains=(), nodes=(), bottleneck=Limiter(), picture=picture)


def found_by(plan: Plan) -> str:
    """Which solver, how long, and why it stopped."""
    found = f"Found by {plan.solver}: {plan.evaluations:,} placements in {seconds(plan.seconds)}, seed {plan.seed}"
    return f"{found}; {why_stopped(plan.stopped_by)}. placement {plan.version}"
