"""Why no chain keeps every rule: which limit cannot be met, and what could be."""

from __future__ import annotations

from objectives.routes.terms import ROUTES, route_values
from placement.quantities import quantity
from placement.search.loop import Outcome

from ..base import Reasons
from .problem import RoutesProblem


def limits_beyond(problem: RoutesProblem) -> tuple[str, ...]:
    """Limits that no chain meets, each taken alone: proven, since the best value of each term is."""
    objective = problem.objective
    least = problem.least_values(0.0)
    most = dict(zip(ROUTES.names, objective.limit_vector(), strict=True))
    return tuple(
        f"limits.{name}: {_worded(name, limit)} cannot be met: the best possible is "
        f"{_worded(name, ROUTES.readable(name, least[name]))}, proven"
        for name, limit in objective.limits.items()
        if least[name] > most[name] * (1.0 + 1e-12)
    )


def reasons(problem: RoutesProblem, outcome: Outcome) -> Reasons:
    """The limits that the best chain found breaks, and whether no chain meets them all."""
    proven = outcome.bound == float("inf")
    route, broken = problem.details(outcome.spans)
    values = dict(zip(ROUTES.names, route_values(route), strict=True))
    head = (
        "no chain meets all limits together, though each can be met alone; the one that comes nearest:"
        if proven
        else "no chain was found that meets all limits; the best one:"
    )
    return Reasons((head, *broken_lines(problem, values, broken)), proven)


def broken_lines(problem: RoutesProblem, values: dict[str, float], broken: dict[str, float]) -> tuple[str, ...]:
    """The limits that a chain breaks, in sentences.

    Parameters
    ----------
    problem : RoutesProblem
    values : mapping of str to float
        Minimised terms of the chain.
    broken : mapping of str to float
        From `details`.
    """
    limits = problem.objective.limits
    return tuple(
        f"{name} is {_worded(name, ROUTES.readable(name, values[name]))}, the limit {_worded(name, limits[name])}"
        for name in broken
    )


def _worded(name: str, value: float) -> str:
    return quantity(value, ROUTES.units[name])
