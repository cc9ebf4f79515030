"""Plans of pipelines side by side as one plan: a chain for each, and the part of the requests that goes there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from placement.export.base import merged
from placement.plan.plan import Figures, ObjectiveValue, PlacedChain, PlacedSpan, Plan, Route
from placement.question.cluster import Cluster

from .groups import group_name, members_of

CLIENT = "client"
SUMS = ("tokens_per_s", "price_per_hour", "in_flight")
MOST = ("bottleneck_s", "micro_batch")


def beside(plans: Sequence[Plan], names: Sequence[str]) -> Plan:
    """The plans of several copies, on nodes of their own, as one plan.

    Totals are sums, what one request sees is the mean over the requests, which go to each copy in proportion to its
    tokens/s.

    Parameters
    ----------
    plans : sequence of Plan
        One pipeline each.
    names : sequence of str
        Nodes of the cluster in its order.
    """
    if len(plans) == 1:
        return plans[0]
    rates = [plan.figures["tokens_per_s"] for plan in plans]
    weights = [rate / sum(rates) for rate in rates]
    slowest = max(plans, key=lambda plan: plan.bottleneck.seconds)
    place = {name: number for number, name in enumerate(names)}
    nodes = [node for plan in plans for node in plan.nodes]
    first = plans[0].objective
    note = f"{len(plans)} pipelines side by side, requests in shares of {shares_text(weights)}"
    return replace(
        plans[0],
        status="interrupted" if any(plan.status == "interrupted" for plan in plans) else "solved",
        placement=tuple(span for plan in plans for span in plan.placement),
        objective=ObjectiveValue(first.name, sum(rates), first.unit, first.sense, None, None, proven_optimal=False),
        figures=Figures({name: joined(name, plans, weights, _figure) for name in plans[0].figures}),
        intervals={
            name: (joined(name, plans, weights, _low), joined(name, plans, weights, _high))
            for name in plans[0].intervals
            if all(name in plan.intervals for plan in plans)
        },
        nodes=tuple(sorted(nodes, key=lambda node: place.get(node.name, len(place)))),
        bottleneck=slowest.bottleneck,
        chains=tuple(chain_of(plan) for plan in plans),
        routing=tuple(
            Route(CLIENT, plan.placement[0].node, weight) for plan, weight in zip(plans, weights, strict=True)
        ),
        groups=tuple(group for plan in plans for group in plan.groups),
        space="copies, each of " + plans[0].space if plans[0].space else "copies, each of layers whole",
        stopped_by="exhausted",
        evaluations=sum(plan.evaluations for plan in plans),
        seconds=sum(plan.seconds for plan in plans),
        notes=(note, *dict.fromkeys(note for plan in plans for note in plan.notes)),
    )


def chain_of(plan: Plan) -> PlacedChain:
    """A pipeline as a chain."""
    runs = merged([PlacedSpan(span.node, span.start, span.stop) for span in plan.placement])
    figures = plan.figures
    nodes, stops = tuple(run.node for run in runs), tuple(run.stop for run in runs)
    return PlacedChain(nodes, stops, int(figures["in_flight"]), None, figures["tokens_per_s"])


def shares_text(weights: Sequence[float]) -> str:
    """Weights as percents, equal ones once."""
    percents = [f"{100 * weight:.3g} %" for weight in weights]
    return f"{percents[0]} each" if len(set(percents)) == 1 else " : ".join(percents)


def joined(name: str, plans: Sequence[Plan], weights: Sequence[float], of: Callable[[Plan, str], float]) -> float:
    """A figure of all copies together."""
    values = [of(plan, name) for plan in plans]
    if name in SUMS:
        return sum(values)
    if name in MOST:
        return max(values)
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _figure(plan: Plan, name: str) -> float:
    return plan.figures[name]


def _low(plan: Plan, name: str) -> float:
    return plan.intervals[name][0]


def _high(plan: Plan, name: str) -> float:
    return plan.intervals[name][1]


def renamed(plan: Plan, cluster: Cluster, other: Cluster) -> Plan:
    """A plan on the nodes in the same places of another cluster that is alike, groups too."""
    if cluster.names == other.names:
        return plan
    names = dict(zip(cluster.names, other.names, strict=True))

    def of(name: str) -> str:
        if name in names:
            return names[name]
        members, percents = members_of(name, cluster.names)
        return group_name(other, members, percents)

    spans = tuple(
        replace(span, node=of(span.node), home=of(span.home) if span.home else None) for span in plan.placement
    )
    limiter = plan.bottleneck
    return replace(
        plan,
        placement=spans,
        nodes=tuple(replace(node, name=of(node.name)) for node in plan.nodes),
        bottleneck=replace(limiter, where=" -> ".join(_place(of, name) for name in limiter.where.split(" -> "))),
        groups=tuple(
            replace(group, name=of(group.name), devices=tuple(map(of, group.devices))) for group in plan.groups
        ),
    )


def _place(of: Callable[[str], str], name: str) -> str:
    return name if name == CLIENT else of(name)
