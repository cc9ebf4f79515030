"""From chains of server numbers to plans with named servers and predicted figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from objectives.routes.swarm import Route, Shape
from objectives.routes.terms import ROUTES, route_values
from objectives.spans import Span
from placement.costs.intervals import intervals_of
from placement.errors import InputError, nearest
from placement.plan.plan import Figures, Limiter, ObjectiveValue, PlacedChain, PlacedSpan, Plan

from .problem import RoutesProblem

SHAPE_NOTES: dict[Shape, str] = {
    "star": "a star: every server answers the client, a round trip for each",
    "chain": "a chain: servers hand over to each other, half a round trip for each hop",
}


def plan_of(problem: RoutesProblem, spans: Sequence[Span], value: ObjectiveValue) -> Plan:
    """A plan of one chain; every figure comes from the reference code.

    Parameters
    ----------
    problem : RoutesProblem
        Its swarm, shape and limits.
    spans : sequence of Span
        Server numbers and the blocks used there, in block order.
    value : ObjectiveValue
        Of the objective, as people read it.
    """
    swarm = problem.swarm
    route, broken = problem.details(spans)
    figures = figures_of(route)
    slowest = min((span.node for span in spans), key=lambda node: float(swarm.rates[node]))
    return Plan(
        kind="routes",
        status="infeasible" if broken else "solved",
        model="",
        n_blocks=swarm.n_blocks,
        block_names=tuple(f"layer.{block}" for block in range(swarm.n_blocks)),
        placement=tuple(PlacedSpan(swarm.names[span.node], span.start, span.stop) for span in spans),
        objective=value,
        figures=figures,
        intervals=intervals_of(None, (), figures),
        bottleneck=Limiter("node", swarm.names[slowest], 1.0 / route.rate),
        chains=(chain_of(problem, spans, route),),
        notes=(SHAPE_NOTES[problem.shape],),
    )


def figures_of(route: Route) -> Figures:
    """The terms as people read them."""
    values = zip(ROUTES.names, route_values(route).tolist(), strict=True)
    return Figures({ROUTES.figures[name]: ROUTES.readable(name, value) for name, value in values})


def chain_of(problem: RoutesProblem, spans: Sequence[Span], route: Route) -> PlacedChain:
    """A chain with names; `seconds` are those of a token."""
    nodes = tuple(problem.swarm.names[span.node] for span in spans)
    return PlacedChain(nodes, tuple(span.stop for span in spans), seconds=route.latency_s, tokens_per_s=route.rate)


def numbered_spans(problem: RoutesProblem, placement: Iterable[PlacedSpan]) -> list[Span]:
    """Spans of server numbers in block order, every block exactly once, at a server that holds it.

    Raises
    ------
    InputError
        A server is unknown or does not hold a block, or a block has no server or two.
    """
    swarm, spans, reached = problem.swarm, [], 0
    for span in sorted(placement, key=lambda span: span.start):
        if span.node not in swarm.names:
            raise InputError(
                f"the plan uses server '{span.node}', which the swarm lacks{nearest(span.node, swarm.names)}"
            )
        if span.start != reached or span.stop <= span.start:
            raise InputError(f"expected the next span to start at block {reached}, got {span.start}:{span.stop}")
        server = swarm.names.index(span.node)
        first, last = int(swarm.starts[server]), int(swarm.stops[server])
        if not first <= span.start < span.stop <= last:
            raise InputError(f"server '{span.node}' holds the blocks {first}:{last}, not {span.start}:{span.stop}")
        spans.append(Span(server, span.start, span.stop))
        reached = span.stop
    if reached != swarm.n_blocks:
        raise InputError(f"the spans end at block {reached}, the swarm's model has {swarm.n_blocks} blocks")
    return spans
