"""The exact answer: the best chain with its proof, or the whole front.

Latency against throughput: for each rate as a threshold, a shortest path. A second cost that adds up, or a limit on
one: label setting at each threshold, see `front.py`. Chains of the least weighted sum are shortest paths too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from objectives.combine import Objective
from objectives.pareto import front
from objectives.routes.swarm import Route
from objectives.routes.terms import ADDED, ROUTES, excess, route_cost, route_values
from placement.search.problem import IntArray, Problem
from placement.search.solver import NotApplicableError, Proposal

from ..front import ChainSearch, Costs
from ..problem import RoutesProblem


@dataclass(frozen=True, slots=True)
class Plan:
    """How an objective is answered.

    Attributes
    ----------
    costs : Costs
        What each search adds up.
    rates : bool
        A search for each rate that a server has; else one for the least rate that is allowed.
    coarse : bool
        Chains within the problem's precision of others may be left out.
    """

    costs: Costs
    rates: bool
    coarse: bool


@dataclass(frozen=True)
class Exact:
    """No hyper-parameters."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield what each threshold gives, then the answer."""
        if not isinstance(problem, RoutesProblem):
            raise NotApplicableError("it finds chains through a swarm")
        plan = planned(problem.objective)
        slack = 1.0 + (problem.precision if plan.coarse and plan.costs.second else 0.0)
        found: dict[tuple[int, ...], Route] = {}
        for routes in _searched(problem, plan, slack):
            new = {route.servers: route for route in routes if route.servers not in found}
            found |= new
            yield Proposal(genomes(problem, list(new.values())), len(routes))
        yield answered(problem, list(found.values()), slack - 1.0)


def planned(objective: Objective) -> Plan:
    """Which searches answer an objective.

    Raises
    ------
    NotApplicableError
        It takes more than two costs that add up, beside throughput.
    """
    named = objective.pareto or tuple(objective.weights)
    limited = [name for name in objective.limits if name in ADDED]
    costs = [name for name in ADDED if name in named or name in limited]
    rates = "throughput" in named
    weighed = {name: weight for name, weight in objective.weights.items() if name in ADDED}
    if not objective.pareto and not limited and weighed and ("reliability" not in weighed or len(weighed) == 1):
        return Plan(Costs(weighed), rates, coarse=False)
    if len(costs) > 2:
        raise NotApplicableError(f"it trades at most two of {', '.join(ADDED)} against each other, not all three")
    first, second = (*costs, "", "")[:2]
    return Plan(Costs({first or "latency": 1.0}, second), rates, coarse=bool(objective.pareto) and not limited)


def _searched(problem: RoutesProblem, plan: Plan, slack: float) -> Iterator[Sequence[Route]]:
    search = ChainSearch(problem.swarm, problem.shape, problem.data, plan.costs)
    least = problem.least_rate
    if plan.costs.second:
        rates = np.unique(problem.swarm.rates[problem.swarm.rates >= least])[::-1] if plan.rates else np.array([least])
        yield from search.falling(rates, slack)
    elif plan.rates:
        for route in search.rising(least):
            yield [route]
    elif (only := search.cheapest(least)) is not None:
        yield [only]


def answered(problem: RoutesProblem, routes: Sequence[Route], part: float) -> Proposal:
    """The best chain and that nothing is cheaper, or the front; that nothing is feasible, where nothing is.

    Parameters
    ----------
    problem : RoutesProblem
    routes : sequence of Route
        Among them all that are needed.
    part : float
        By which a chain of the front may be above the exact one in its costs.
    """
    objective = problem.objective
    values = [route_values(route) for route in routes]
    kept = [k for k, row in enumerate(values) if not excess(objective, row)]
    if not kept:
        return Proposal(genomes(problem, []), bound=np.inf)
    if not objective.pareto:
        best = min(kept, key=lambda k: route_cost(objective, values[k]))
        return Proposal(genomes(problem, [routes[best]]), bound=route_cost(objective, values[best]))
    columns = [ROUTES.names.index(name) for name in objective.pareto]
    points = [kept[k] for k in front([values[k][columns] for k in kept])]
    return Proposal(genomes(problem, [routes[k] for k in points]), whole_front=part)


def genomes(problem: RoutesProblem, routes: Sequence[Route]) -> IntArray:
    """Chains as rows."""
    return np.array([route.servers for route in routes], dtype=np.int64).reshape(-1, problem.genome_size)
