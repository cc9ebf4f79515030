"""Costs that searches minimise, as the values that people read: with unit, sense, bound and gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from objectives.combine import Objective, TermSet

from ..errors import InputError
from .plan import ObjectiveValue, Plan

OPTIMAL_GAP = 1e-9


def objective_value(objective: Objective, cost: float, bound: float, *, feasible: bool = True) -> ObjectiveValue:
    """Value, bound and gap as people read them: the gap is relative and 0 is optimal, whichever way is better.

    Parameters
    ----------
    objective : Objective
    cost, bound : float
        Minimised; a bound of minus infinity is none.
    feasible : bool
        Only what is feasible has a gap.
    """
    known = math.isfinite(bound) and (bound > 0 or bound == cost)
    gap = (max(0.0, cost / bound - 1.0) if bound > 0 else 0.0) if known and feasible else None
    gap = gap if gap is not None and math.isfinite(gap) else None
    return ObjectiveValue(
        name=objective.name,
        value=objective.value(cost),
        unit=unit_of(objective),
        sense="maximize" if objective.maximised else "minimize",
        bound=objective.value(bound) if known else None,
        gap=0.0 if gap is not None and gap <= OPTIMAL_GAP else gap,
        proven_optimal=gap is not None and gap <= OPTIMAL_GAP and not objective.pareto,
    )


def point_value(objective: Objective, values: Sequence[float]) -> ObjectiveValue:
    """A point of a Pareto front: its first objective's value, without a bound."""
    first = Objective({objective.pareto[0]: 1.0}, terms=objective.terms)
    sense = "maximize" if first.maximised else "minimize"
    return ObjectiveValue(
        objective.name, first.value(values[0]), unit_of(first), sense, None, None, proven_optimal=False
    )


def unit_of(objective: Objective) -> str:
    """Unit of the value; a mix has none."""
    return objective.terms.units[objective.single] if objective.single and not objective.pareto else ""


def ensure_finite(plan: Plan) -> None:
    """Refuse an answer without a value; raise `InputError`: numbers of the question are beyond what can be added up."""
    if plan.status != "infeasible" and not math.isfinite(plan.objective.value):
        raise InputError(
            f"{plan.objective.name} of the best plan is no finite number: sizes, seconds or rates are too large to be "
            "added up, or too small"
        )


def first_unit(objective: Objective) -> str:
    """Unit of the value that a search is followed by: of a front, that of its first objective."""
    return objective.terms.units[objective.single] if objective.single else ""


def term_values(plan: Plan, terms: TermSet) -> dict[str, float]:
    """The value of every term that a plan's figures say, as people read it (throughput in tokens/s)."""
    return {name: plan.figures[key] for name, key in terms.figures.items() if key in plan.figures}


def with_bound(plan: Plan, bound: float | None) -> Plan:
    """The same plan with another bound on its objective; one that lies on the wrong side of the value is the value."""
    value, maximised = plan.objective.value, plan.objective.sense == "maximize"
    if bound is not None:
        bound = max(bound, value) if maximised else min(bound, value)
    low, high = sorted((value, bound)) if bound is not None else (0.0, 0.0)
    gap = high / low - 1.0 if low > 0 and math.isfinite(high) else None
    gap = 0.0 if gap is not None and gap <= OPTIMAL_GAP else gap
    objective = replace(plan.objective, bound=bound, gap=gap, proven_optimal=gap == 0.0)
    return replace(plan, objective=objective)
