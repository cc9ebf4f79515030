"""Pipelines side by side in a runtime's words: one command where it makes copies itself, else one text for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from ..plan.plan import Figures, Plan
from .base import Exported, Target, on_node, stages
from .quoting import remark


@runtime_checkable
class Copier(Protocol):
    """A runtime that runs several copies of one layout behind one address."""

    def write_copies(self, plans: Sequence[Plan], target: Target) -> Exported | None:
        """All copies as one text; None where it cannot on these devices. They are alike."""
        ...


def copies_of(plan: Plan) -> tuple[Plan, ...]:
    """The plan of each pipeline of several side by side; any other plan itself."""
    nodes = [node for chain in plan.chains for node in chain.nodes]
    whole = all(chain.stops and chain.stops[-1] == plan.n_blocks for chain in plan.chains)
    if not nodes or not whole or len(set(nodes)) < len(nodes) or {span.node for span in plan.placement} != set(nodes):
        return (plan,)
    found = []
    for chain in plan.chains:
        mine = tuple(span for span in plan.placement if span.node in chain.nodes)
        groups = tuple(group for group in plan.groups if group.name in chain.nodes)
        flight = chain.capacity or plan.figures.get("in_flight", len(plan.chains)) // len(plan.chains)
        figures = Figures({**plan.figures, "in_flight": flight})
        found.append(replace(plan, placement=mine, groups=groups, figures=figures, chains=(), routing=()))
    return tuple(found)


def weights_of(plan: Plan) -> tuple[float, ...]:
    """The part of the requests that each copy gets."""
    rates = [chain.tokens_per_s or chain.capacity or 1.0 for chain in plan.chains]
    return tuple(rate / sum(rates) for rate in rates)


def are_alike(plans: Sequence[Plan]) -> bool:
    """Whether all have the same layers on as many devices."""
    looks = set()
    for plan in plans:
        sizes = {group.name: len(group.devices) for group in plan.groups}
        looks.add(tuple((part.start, part.stop, sizes.get(part.node, 1)) for part in stages(plan)))
    return len(looks) == 1


def together(texts: Sequence[Exported], plans: Sequence[Plan], weights: Sequence[float]) -> Exported:
    """The texts of all copies, each with its part of the requests.

    Parameters
    ----------
    texts : sequence of Exported
    plans : sequence of Plan
        Whose they are.
    weights : sequence of float
        Parts of the requests; they sum to 1.
    """
    nodes = tuple(dict.fromkeys(node for text in texts for node in text.nodes))
    lost = dict.fromkeys(line for text in texts for line in text.lost)
    router = (
        "several commands are several servers, on one host each with a --port of its own: a router in front of them "
        "sends each its part of the requests"
    )
    rounded = [round(weight, 4) for weight in weights]
    if all(text.text.lstrip().startswith(("{", "[")) for text in texts):
        data = [
            {"weight": weight, "config": json.loads(text.text)} for weight, text in zip(rounded, texts, strict=True)
        ]
        return Exported(json.dumps(data, indent=2) + "\n", nodes, (*lost, router))
    lines = []
    for number, (text, plan, weight) in enumerate(zip(texts, plans, rounded, strict=True), 1):
        first = on_node(stages(plan)[0].node).removeprefix("#").strip()
        lines.append(remark(f"copy {number} of {len(plans)}, {first}: {weight:g} of the requests"))
        lines.append(text.text)
    return Exported("\n".join(lines), nodes, (*lost, router))
