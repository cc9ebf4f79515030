"""Goodput as a limit beside another objective: of answers to it, the first that serves enough in the simulation wins.

The best by the objective alone comes first, and often serves too little. What serves more is found by objectives that
bound goodput, and what lies between by the objective itself under limits on throughput, or on the time per token where
throughput is the objective: `RUNGS` of them, evenly spaced in ratio. All are then simulated in the order of the
objective, as finalists of the objective goodput are (`goodput.py`), until one keeps the limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from objectives.combine import Objective

from ..errors import InfeasibleError, InputError, NotFoundError
from ..plan.plan import Plan
from ..plan.values import objective_value, term_values, with_bound
from ..question.goodput import GROUND, Goodput
from ..question.request import Request
from ..question.requests import Requests
from .asked import Asked
from .base import Wish
from .goodput import (
    Found,
    Solve,
    Trial,
    Watch,
    answers,
    arrivals,
    crowded_by,
    distinct,
    kept_limits,
    parts_of,
    searched_notes,
    simulated_words,
    told,
    trials_of,
)

RUNGS = 3
NEAR = 1e-9  # relative, of goodput beside its limit


def with_goodput_limit(
    asked: Asked, seconds: float, seed: int, solve: Solve, found: Found, watch: Watch | None = None
) -> Plan:
    """The best plan by the objective, of those found, that serves at least so many requests/s within the limits.

    Parameters
    ----------
    asked : Asked
        A question whose wish has a least goodput.
    seconds : float
        For the searches; the simulations come on top.
    seed : int
        Of the requests.
    solve, found : callable
        Answer a question without goodput: in so many seconds, and for a moment.
    watch : callable, optional

    Raises
    ------
    InputError
        What was found cannot be simulated.
    InfeasibleError
        There is no plan, whatever it serves; or more is to be served than comes.
    NotFoundError
        No plan was found, or none that serves so much.
    """
    wanted = asked.wish.goodput
    assert wanted is not None
    assert wanted.least_per_s is not None
    if wanted.least_per_s > wanted.rate_per_s:
        come, least = f"{wanted.rate_per_s:.4g}", f"{wanted.least_per_s:.4g}"
        raise InfeasibleError([f"goodput: {least} requests/s are to be served within the limits, and {come}/s come"])
    crowded = crowded_by(asked, wanted, found)
    finalists = _finalists(crowded, asked, seconds, solve)
    requests = arrivals(asked.question.workload, wanted.rate_per_s, seed)
    best, enough, refused, count = _first_that_serves(finalists, asked.question, requests, wanted, watch)
    words = simulated_words(wanted, seed)
    notes = searched_notes(crowded, refused)
    served, least = f"{best.goodput_per_s(wanted):.4g}", f"{wanted.least_per_s:.4g}"
    if enough:
        note = (
            f"goodput of at least {least}/s: {words}: number {count} of {len(finalists)} finalists by {asked.wish.name}"
        )
        return told(best, wanted, finalists, (note, *notes))
    attempt = replace(told(best, wanted, finalists, notes), status="infeasible")
    raise NotFoundError(
        [f"goodput: the best of {count} finalists serves {served} of the {least} requests/s wanted; {words}"], attempt
    )


def _first_that_serves(
    finalists: Sequence[Plan], request: Request, requests: Requests, wanted: Goodput, watch: Watch | None
) -> tuple[Trial, bool, list[InputError], int]:
    """The first finalist that keeps the limit, else the one that serves most; whether it does.

    Also why some could not be simulated, and how many were looked at.
    """
    assert wanted.least_per_s is not None
    trials, refused = list[Trial](), list[InputError]()
    for trial, ended, count in trials_of(finalists, request, requests, wanted, watch, refused):
        if not ended:
            raise KeyboardInterrupt
        if trial.goodput_per_s(wanted) >= wanted.least_per_s * (1.0 - NEAR):
            return trial, True, refused, count
        trials.append(trial)
    if not trials:
        raise refused[0]
    return min(trials, key=Trial.rank), False, refused, len(finalists)


def _finalists(asked: Asked, own: Asked, seconds: float, solve: Solve) -> list[Plan]:
    """Distinct plans in the order of the objective, each with its value and what is proven of the best."""
    objective = asked.wish.objective
    free = replace(objective, limits=kept_limits(asked, limited=False))
    first = replace(asked, wish=Wish(free))
    # With the limits that the simulation holds there may be no plan where without them there is.
    parts = [(first, True), (replace(asked, wish=Wish(objective)), False)]
    parts += [(part, False) for part, _ in parts_of(asked, own) if not part.wish.objective.pareto]
    several = asked.copies not in (1, None)
    rungs = 0 if several else RUNGS
    each = seconds / (len(parts) + rungs)
    best, _ = answers(parts, each, solve)
    bound = best[0].objective.bound if best[0].objective.name == objective.name else None
    if rungs and all(plan.status != "interrupted" for plan in best):
        best += answers([(part, False) for part in _rungs(asked, free, best)], each, solve)[0]
    costs = ((_cost(plan, asked), plan) for plan in distinct(best))
    costed = sorted(((cost, k, plan) for k, (cost, plan) in enumerate(costs)), key=lambda row: row[:2])
    return [
        with_bound(
            replace(plan, objective=objective_value(objective, cost, -np.inf)),
            bound if _beside(best[0]) or not _beside(plan) else None,  # one proven of single pipelines only
        )
        for cost, _, plan in costed
        if cost < np.inf
    ]


def _rungs(asked: Asked, free: Objective, best: Sequence[Plan]) -> Iterator[Asked]:
    """The question by its own objective under limits on what bounds goodput, from the best plan's to the most found."""
    term = "latency" if free.single == GROUND else GROUND
    terms = asked.kind.terms
    values = [terms.minimised(term, term_values(plan, terms)[term]) for plan in best if not _beside(plan)]
    if not values or not 0 < min(values) < values[0] < np.inf:
        return
    for k in range(1, RUNGS + 1):
        limit = terms.readable(term, values[0] * (min(values) / values[0]) ** (k / (RUNGS + 1)))
        own = free.limits.get(term, limit)
        tighter = max(own, limit) if term in terms.maximised else min(own, limit)
        one = replace(asked, question=replace(asked.question, copies=1))
        yield replace(one, wish=Wish(replace(free, limits={**free.limits, term: tighter})))


def _beside(plan: Plan) -> bool:
    """Whether a plan is several pipelines side by side."""
    return plan.kind == "pipeline" and len(plan.chains) > 1


def _cost(plan: Plan, asked: Asked) -> float:
    """A plan's cost by the objective, whatever it was found by; infinite where no figure says it."""
    values, terms = term_values(plan, asked.kind.terms), asked.kind.terms
    if not values.keys() >= asked.wish.objective.weights.keys():
        return np.inf
    return sum(weight * terms.minimised(name, values[name]) for name, weight in asked.wish.objective.weights.items())
