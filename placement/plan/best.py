"""The best of several answers to one question, with a bound that holds for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .plan import Plan
from .values import with_bound


def cost_of(plan: Plan) -> float:
    """The plan's value as something to minimise."""
    return -plan.objective.value if plan.objective.sense == "maximize" else plan.objective.value


def best_plan(plans: Sequence[Plan], bounds: Sequence[float | None]) -> Plan:
    """The best plan of a space whose parts were searched apart.

    Parameters
    ----------
    plans : sequence of Plan
        The best of each part where one was found; not empty.
    bounds : sequence of float or None
        A proven bound on the value of each part, those without a plan too, as people read it; None: there is none. The
        loosest holds for the whole space.

    Returns
    -------
    Plan
        Its evaluations and seconds are those of all.
    """
    best = min(plans, key=cost_of)
    sign = -1.0 if best.objective.sense == "maximize" else 1.0
    known = [bound for bound in bounds if bound is not None]
    loosest = sign * min(sign * bound for bound in known) if known and len(known) == len(bounds) else None
    return replace(
        with_bound(best, loosest),
        evaluations=sum(plan.evaluations for plan in plans),
        seconds=sum(plan.seconds for plan in plans),
    )


def undominated(fronts: Sequence[Sequence[Plan]]) -> tuple[tuple[Plan, ...], ...]:
    """Of each front the plans that no plan of any front dominates; the values are those of their only point."""
    rows = [(_values(plan), k, plan) for k, front in enumerate(fronts) for plan in front]
    kept: list[list[Plan]] = [[] for _ in fronts]
    for number, (values, k, plan) in enumerate(rows):
        if not any(_beats(other, values, earlier=place < number) for place, (other, _, _) in enumerate(rows)):
            kept[k].append(plan)
    return tuple(tuple(front) for front in kept)


def _values(plan: Plan) -> tuple[float, ...]:
    return tuple(plan.pareto[0].values.values())


def _beats(other: tuple[float, ...], values: tuple[float, ...], *, earlier: bool) -> bool:
    if other == values:
        return earlier
    return all(a <= b for a, b in zip(other, values, strict=True))
