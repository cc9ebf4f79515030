"""Pipelines side by side: which number of them, and which way to deal the nodes, serves most. Found by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from objectives.clock import clock
from objectives.pipeline.together import least_together

from ..errors import InputError, NotFoundError
from ..plan.plan import Plan
from ..plan.values import with_bound
from ..question.request import Request
from .asked import Asked
from .space.beside import beside, renamed
from .space.copies import Part, apportioned, counts_of, dealt, kinds_apart, look_of, most_copies, part_of, shares
from .space.holders import holders_of

TRIALS = 0.4  # part of the time that goes into trying
LEAST_TRIAL_S = 0.1
MOST_FINAL = 3  # ways to deal that are searched at length
OVER_S = 1.0  # beyond the time in which a first plan may still be sought
Solve = Callable[[Asked, float], Plan | None]
"""The best plan of a question found in so many seconds; None where there is none."""


@dataclass
class Tried:
    """Answers to the questions of parts, each asked once."""

    asked: Asked
    solve: Solve
    until: float  # by `clock.now`: no further question is asked then
    found: dict[tuple[object, ...], tuple[Request, Plan | None]] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        """The whole question."""
        request: Request = self.asked.question
        return request

    def plans(self, parts: Sequence[Part], sequences: Sequence[int], seconds: float) -> list[Plan] | None:
        """A plan of every part with so many sequences; None where one of them has none."""
        kinds, asked = (
            kinds_apart(self.request.cluster.nodes),
            self.asked if len(parts) == 1 else _without_totals(self.asked),
        )
        questions = [part_of(self.request, part, count) for part, count in zip(parts, sequences, strict=True)]
        marks = [
            (tuple(kinds[k] for k in part), look_of(question), len(parts) == 1, seconds)
            for part, question in zip(parts, questions, strict=True)
        ]
        each = seconds / len(set(marks))
        plans = []
        for question, mark in zip(questions, marks, strict=True):
            if mark not in self.found:
                if clock.now() > self.until:
                    return None
                self.found[mark] = question, self.solve(replace(asked, question=question), each)
            first, plan = self.found[mark]
            if plan is None:
                return None
            plans.append(renamed(plan, first.cluster, question.cluster))
        return plans


def with_copies(asked: Asked, seconds: float, solve: Solve) -> Plan:
    """The best plan of so many pipelines side by side; `copies` 0: of as many as are best.

    Where time runs out, numbers of copies and ways to deal that were not tried yet stay untried.

    Parameters
    ----------
    asked : Asked
        A question whose request says how many copies.
    seconds : float
        For everything.
    solve : callable
        Answers a question without copies.

    Raises
    ------
    InputError
        Copies are asked for together with what speaks of one pipeline.
    NotFoundError
        There is no such plan.
    """
    request: Request = asked.question
    began = clock.now()
    single = replace(asked, question=replace(request, copies=1))
    _ensure_apart(asked)
    tried = Tried(single, solve, began + seconds + OVER_S)
    wanted = [parts for count in counts_of(request) for parts in dealt(request, count)]
    each = max(LEAST_TRIAL_S, TRIALS * seconds / max(1, len(wanted)))
    trials: list[tuple[float, list[Part], list[Plan]]] = []
    for parts in wanted:
        if trials and clock.now() - began > TRIALS * seconds:
            break
        plans = tried.plans(parts, shares(request, parts), each)
        if plans is not None:
            trials.append((sum(plan.figures["tokens_per_s"] for plan in plans), parts, plans))
    trials.sort(key=lambda trial: -trial[0])
    found = []
    for number, (_, parts, plans) in enumerate(trials[:MOST_FINAL]):
        rates = [plan.figures["tokens_per_s"] for plan in plans]
        left = seconds - (clock.now() - began)
        again = None
        if left > LEAST_TRIAL_S or not number:
            sequences, each = apportioned(request.workload.concurrency, rates), left / (MOST_FINAL - number)
            again = tried.plans(parts, sequences, max(LEAST_TRIAL_S, each))
        found += [beside(part, request.cluster.names) for part in (plans, again) if part]
    found = [plan for plan in found if _within(plan, asked)]
    if found:
        best = max(found, key=lambda plan: plan.figures["tokens_per_s"])
        return best if len(best.chains) < 2 else bounded(best, most_together(request))
    count = f"{request.copies} pipelines" if request.copies else "pipelines"
    raise NotFoundError([f"no {count} side by side were found that fit and keep the limits"])


def serve_more(asked: Asked) -> bool:
    """Whether several copies may serve more than one pipeline, and nothing that is asked speaks of one."""
    request = asked.question
    if not isinstance(request, Request) or request.kind != "pipeline" or request.workload.concurrency < 2:
        return False
    wanted, rules = asked.wish.objective, request.constraints
    one = asked.wish.custom is not None or wanted.pareto or wanted.single != "throughput"
    return not (one or rules.pins or rules.include or rules.max_nodes) and most_copies(request) > 1


def most_together(request: Request) -> float | None:
    """Tokens/s that no number of pipelines side by side exceeds; None where nothing is proven.

    Whatever may hold blocks counts: devices, groups, and either with parts of blocks in main memory.
    """
    holders = holders_of(request)
    least = 0.0 if holders is None else least_together(holders, request.workload.concurrency)
    return 1.0 / least if least > 0 else None


def bounded(plan: Plan, most: float | None) -> Plan:
    """The plan with a bound on tokens/s.

    Raises
    ------
    RuntimeError
        The plan serves more than the bound allows: one of them is wrong.
    """
    if most is not None and plan.objective.value > most * (1 + 1e-6):
        raise RuntimeError(f"a plan serves {plan.objective.value:.6g} tokens/s, more than the bound {most:.6g}")
    return with_bound(plan, most)


def _ensure_apart(asked: Asked) -> None:
    """Refuse what speaks of one pipeline."""
    request: Request = asked.question
    if request.kind != "pipeline":
        raise InputError(f"copies are of pipelines; this asks for {request.kind}", "copies")
    wanted = asked.wish.objective
    if asked.wish.custom is not None or wanted.pareto or wanted.single != "throughput":
        raise InputError(
            f"copies serve more requests: they go with the objective throughput, not {wanted.name}", "copies"
        )
    rules = request.constraints
    for key, given in (("pins", rules.pins), ("include", rules.include), ("max_nodes", rules.max_nodes)):
        if given:
            raise InputError(f"{key} speaks of one pipeline, copies of several: expected one of the two", "copies")
    free = request.cluster.n_nodes - len(rules.exclude)
    if request.copies and request.copies > min(free, request.workload.concurrency):
        least = min(free, request.workload.concurrency)
        raise InputError(
            f"expected at most {least} copies: there are {free} nodes and {request.workload.concurrency} sequences, "
            f"got {request.copies}",
            "copies",
        )


def _without_totals(asked: Asked) -> Asked:
    """The wish of one of several copies: limits on throughput and price are on all of them together."""
    objective = asked.wish.objective
    limits = {name: limit for name, limit in objective.limits.items() if name not in ("throughput", "price")}
    return replace(asked, wish=replace(asked.wish, objective=replace(objective, limits=limits)))


def _within(plan: Plan, asked: Asked) -> bool:
    """Whether the whole keeps the limits on throughput and price."""
    limits = asked.wish.objective.limits
    rate, price = plan.figures["tokens_per_s"], plan.figures["price_per_hour"]
    fast = "throughput" not in limits or rate * (1 + 1e-9) >= limits["throughput"]
    return fast and ("price" not in limits or price <= limits["price"] * (1 + 1e-9))
