"""Goodput as the objective: answers to the few objectives that bound it are simulated at the rate, and the best counts.

Throughput bounds what can be served at all, TTFT and time per token what is served within the limits. What lies between
them shows under load only: every finalist is served the same requests, seeded Poisson arrivals at the rate, each of the
workload's lengths, as `placement simulate` makes them. No bound is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InfeasibleError, InputError, NotFoundError
from ..plan.plan import Figures, ObjectiveValue, Plan
from ..plan.values import term_values
from ..quantities import seconds as in_words
from ..question.goodput import GOODPUT, GROUND, Goodput
from ..question.request import Request
from ..question.requests import Requests
from ..question.workload import Workload
from ..simulate.serving import EngineOptions, Limits, ServingFigures, simulate
from ..simulate.traffic import Arrivals, Lengths, Uniform, make_requests
from .asked import Asked
from .base import Wish
from .copies import serve_more
from .space.copies import most_copies
from .space.variants import as_named, asked_for

POLICY = "vllm"
REQUESTS = 1000  # that each finalist is served
MOST_FINALISTS = 8
COUNTS = (2, 4)  # of pipelines side by side that are looked at where nobody says how many
SHOWN_EVERY = 16  # served requests, of which a bar is told
LIMITED = ("ttft", "latency")  # terms whose limits the simulation holds, and not the searches
FRONT = ("throughput", "latency")

Solve = Callable[[Asked, float], tuple[Plan, ...]]
"""The best plan of a question found in so many seconds, and those of its front."""
Found = Callable[[Asked], Plan | None]
"""A plan of a question after a moment's search; None where none was found."""
Watch = Callable[[float, str], None]
"""Told how far the simulations are, from 0 to 1, and what is simulated, in words."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A finalist and what it served; `good` of the requests were within the limits."""

    plan: Plan
    figures: ServingFigures
    good: int

    def rank(self) -> tuple[int, float, int]:
        """Less is better: more requests within the limits, then the lower p99 of TTFT, then fewer nodes."""
        return -self.good, self.figures.ttft_s.p99, len({span.node for span in self.plan.placement})

    def goodput_per_s(self, wanted: Goodput) -> float:
        """Of requests that come for ever; those by time until the last one is served would count its time too."""
        return wanted.rate_per_s * self.good / REQUESTS


def with_goodput(
    asked: Asked, seconds: float, seed: int, solve: Solve, found: Found, watch: Watch | None = None
) -> Plan:
    """The plan that serves most requests within the limits, of the answers to a few objectives.

    Parameters
    ----------
    asked : Asked
        A question whose wish is a goodput.
    seconds : float
        For the searches; the simulations come on top.
    seed : int
        Of the requests.
    solve, found : callable
        Answer a question of another objective: in so many seconds, and for a moment.
    watch : callable, optional

    Raises
    ------
    InputError
        What was found cannot be simulated.
    InfeasibleError, NotFoundError
        There is no plan, whatever it serves.
    """
    wanted = asked.wish.goodput
    assert wanted is not None
    request: Request = asked.question
    crowded = crowded_by(asked, wanted, found)
    finalists = _finalists(crowded, asked, seconds, solve)
    requests = arrivals(request.workload, wanted.rate_per_s, seed)
    trials: list[Trial] = []
    refused: list[InputError] = []
    for trial, ended, _ in trials_of(finalists, request, requests, wanted, watch, refused):
        if not ended:
            if not trials:
                raise KeyboardInterrupt
            trials = [replace(one, plan=replace(one.plan, status="interrupted")) for one in trials]
            break
        trials.append(trial)
    if not trials:
        raise refused[0]
    best = min(trials, key=Trial.rank)
    notes = (*_notes(best, wanted, seed, len(trials)), *searched_notes(crowded, refused))
    plan = told(best, wanted, finalists, notes)
    value = plan.figures["goodput_per_s"]
    return replace(
        plan, objective=ObjectiveValue(GOODPUT, value, "requests/s", "maximize", None, None, proven_optimal=False)
    )


def arrivals(workload: Workload, rate_per_s: float, seed: int) -> Requests:
    """Requests of a workload's lengths that come at a rate, as ``placement simulate --rate`` makes them."""
    rng = np.random.default_rng(seed)
    prompt, output = workload.prompt_tokens, workload.output_tokens
    mix = ((1.0, Lengths(Uniform(prompt, prompt), Uniform(output, output))),)
    return make_requests(Arrivals(rate_per_s).draw(rng, REQUESTS), mix, rng, name="lengths of the workload")


def trials_of(
    finalists: Sequence[Plan],
    request: Request,
    requests: Requests,
    wanted: Goodput,
    watch: Watch | None,
    refused: list[InputError],
) -> Iterator[tuple[Trial, bool, int]]:
    """Yield what finalists served, whether the simulation came to its end, and how many were looked at so far.

    Parameters
    ----------
    finalists : sequence of Plan
    request : Request
        The question as it was asked.
    requests : Requests
    wanted : Goodput
    watch : callable or None
    refused : list of InputError
        Gets why a finalist could not be simulated.
    """
    for number, plan in enumerate(finalists):
        shown = None if watch is None else _bar(watch, number, len(finalists))
        try:
            trial, ended = tried(plan, request, requests, wanted, shown)
        except InputError as error:
            refused.append(error)
            continue
        yield trial, ended, number + 1


def _bar(watch: Watch, number: int, count: int) -> Callable[[float, int], None]:
    """What a simulation calls with its time and the requests served, to show how far all of them are."""

    def show(_: float, served: int) -> None:
        if served % SHOWN_EVERY == 0:
            share = (number + min(served / REQUESTS, 1.0)) / count
            watch(share, f"simulating finalist {number + 1} of {count}: {served:,} of {REQUESTS:,} requests served")

    return show


def tried(
    plan: Plan,
    request: Request,
    requests: Requests,
    wanted: Goodput,
    progress: Callable[[float, int], None] | None = None,
) -> tuple[Trial, bool]:
    """A plan served these requests, and whether the simulation came to its end.

    Parameters
    ----------
    plan : Plan
    request : Request
        The question as it was asked.
    requests : Requests
    wanted : Goodput
    progress : callable, optional
        Called with simulated seconds and finished requests.

    Raises
    ------
    InputError
        Requests on this plan are not simulated.
    """
    question = asked_for(as_named(plan.placement, request), request)
    limits = Limits(wanted.ttft_s, wanted.time_per_token_s)
    run = simulate(plan, question, requests, policy=POLICY, limits=limits, progress=progress)
    return Trial(plan, run.figures, round(run.figures.goodput_per_s * run.figures.seconds)), not run.interrupted


def crowded_by(asked: Asked, wanted: Goodput, found: Found) -> Asked:
    """The question with as many sequences in flight as come while one is served: Little's law, to a power of two."""
    work = asked.question.workload
    plan = found(
        replace(asked, wish=by_term(asked, "latency", limited=False), question=replace(asked.question, copies=1))
    )
    if plan is None:
        return asked
    alone = term_values(plan, asked.kind.terms)
    flying = wanted.rate_per_s * (alone["ttft"] + (work.output_tokens - 1) * alone["latency"])
    most = EngineOptions().max_num_seqs
    count = max(work.concurrency, 1 << math.ceil(math.log2(min(max(flying, 1.0), most))))
    return replace(asked, question=replace(asked.question, workload=replace(work, concurrency=count)))


def by_term(asked: Asked, name: str, *, limited: bool) -> Wish:
    """The wish for another objective, with or without the limits that the simulation holds."""
    own = asked.wish.objective
    front = FRONT if name == "" else ()
    return Wish(replace(own, weights={name or GROUND: 1.0}, limits=kept_limits(asked, limited=limited), pareto=front))


def kept_limits(asked: Asked, *, limited: bool) -> dict[str, float]:
    """Limits by term, with or without those that the simulation holds."""
    return {term: limit for term, limit in asked.wish.objective.limits.items() if limited or term not in LIMITED}


def parts_of(asked: Asked, own: Asked) -> Iterator[tuple[Asked, bool]]:
    """The same question by the objectives that bound goodput: throughput first, under the limits last.

    With each, whether a proof that it has no plan holds for what was asked. Throughput counts with as many sequences as
    come (`asked`), and with as many as the user says (`own`): fewer of them wait less, in several pipelines perhaps.
    These serve fewer tokens than one that all nodes share, and each at its own pace.
    """
    request: Request = asked.question
    first = replace(asked, wish=by_term(asked, "throughput", limited=False))
    yield first, True
    if own.question.workload != request.workload:
        yield replace(own, wish=by_term(own, "throughput", limited=False)), True
    if (request.copies or 0) < 2:  # several pipelines go with throughput only; "auto" may be one
        single = replace(asked, question=replace(request, copies=1))
        for name in ("latency", "ttft"):
            yield replace(single, wish=by_term(asked, name, limited=False)), True
        front = replace(single, wish=by_term(asked, "", limited=False))
        if request.kind == "pipeline" and len(front.tasks()) == 1:  # of many problems a front takes long
            yield front, True
    if not request.copies and serve_more(first):
        for count in (number for number in COUNTS if number <= most_copies(request)):
            yield replace(first, question=replace(request, copies=count)), False
    yield replace(asked, wish=by_term(asked, "throughput", limited=True)), False


def _finalists(asked: Asked, own: Asked, seconds: float, solve: Solve) -> list[Plan]:
    """Distinct plans to be simulated: the best by each objective, then some of the front between them."""
    parts = list(parts_of(asked, own))
    best, front = answers(parts, seconds / len(parts), solve)
    found = distinct(best)
    between = [plan for plan in distinct([*found, *front]) if plan not in found]
    return [*found, *_spread(between, MOST_FINALISTS - len(found))][:MOST_FINALISTS]


def answers(parts: Sequence[tuple[Asked, bool]], seconds: float, solve: Solve) -> tuple[list[Plan], list[Plan]]:
    """The best plans of several questions and those of their fronts, up to the search that Ctrl-C ends.

    Parameters
    ----------
    parts : sequence of (Asked, bool)
        Questions, and whether a proof that one has no plan holds for what was asked.
    seconds : float
        For each.
    solve : callable

    Raises
    ------
    InfeasibleError, NotFoundError
        It is proven that there is no plan; none was found.
    """
    best, front = list[Plan](), list[Plan]()
    failures: list[NotFoundError] = []
    for part, whole in parts:
        try:
            plan, *others = solve(part, seconds)
        except InfeasibleError:
            if whole:
                raise
            continue
        except NotFoundError as error:
            failures.append(error)
            continue
        best.append(plan)
        front += others
        if plan.status == "interrupted":
            break
    if not best and failures:
        raise failures[0]
    return best, front


def distinct(plans: Sequence[Plan]) -> list[Plan]:
    """The first plan of each layout."""
    found: dict[object, Plan] = {}
    for plan in plans:
        found.setdefault((plan.placement, tuple((chain.nodes, chain.stops) for chain in plan.chains)), plan)
    return list(found.values())


def _spread(plans: Sequence[Plan], most: int) -> list[Plan]:
    """At most so many plans, evenly spaced."""
    if len(plans) <= most:
        return list(plans)
    return [plans[(2 * k + 1) * len(plans) // (2 * most)] for k in range(most)]


def told(best: Trial, wanted: Goodput, finalists: Sequence[Plan], notes: tuple[str, ...]) -> Plan:
    """A finalist with its simulated figures, the effort of all and notes of how it was found."""
    plan, ran = best.plan, best.figures
    simulated = {
        "goodput_per_s": best.goodput_per_s(wanted),
        "simulated_ttft_p50_s": ran.ttft_s.p50,
        "simulated_ttft_p99_s": ran.ttft_s.p99,
        "simulated_time_per_token_p50_s": ran.time_per_token_s.p50,
        "simulated_time_per_token_p99_s": ran.time_per_token_s.p99,
    }
    interrupted = any(one.status == "interrupted" for one in (plan, *finalists))
    return replace(
        plan,
        status="interrupted" if interrupted else plan.status,
        figures=Figures({**plan.figures, **{name: one for name, one in simulated.items() if math.isfinite(one)}}),
        pareto=(),
        evaluations=sum(one.evaluations for one in finalists),
        seconds=sum(one.seconds for one in finalists),
        stopped_by="interrupted" if interrupted else "exhausted",
        notes=(*notes, *plan.notes),
        picture=None if plan.picture is None else replace(plan.picture, search=()),
    )


def simulated_words(wanted: Goodput, seed: int) -> str:
    """What was simulated, in words."""
    limits = (("TTFT", wanted.ttft_s), ("time per token", wanted.time_per_token_s))
    words = " and ".join(f"{name} up to {in_words(limit)}" for name, limit in limits if math.isfinite(limit))
    stream = f"{REQUESTS} requests at {wanted.rate_per_s:.4g}/s (Poisson, seed {seed}), policy {POLICY}"
    return f"simulated, {stream}, {words}"


def searched_notes(crowded: Asked, refused: Sequence[InputError]) -> tuple[str, ...]:
    """For how many sequences the searches plan, and why a finalist could not be simulated, in words."""
    flying = crowded.question.workload.concurrency
    crowd = f"searched with {flying} sequences in flight, which come while one is served or are asked for"
    return crowd, *(f"a finalist could not be simulated: {error}" for error in refused[:1])


def _notes(best: Trial, wanted: Goodput, seed: int, count: int) -> tuple[str, ...]:
    """How the goodput was found, in words."""
    best_of = f"the best of {count} finalists" if count > 1 else "the only finalist"
    notes = [f"goodput: {simulated_words(wanted, seed)}: {best_of}"]
    if best.good == 0:
        first, between = best.figures.ttft_s.p50, best.figures.time_per_token_s.p50
        seen = f"TTFT {in_words(first)}" + (f", time per token {in_words(between)}" if between > 0 else "")
        notes.append(f"no finalist serves any request within the limits; in the median this one has {seen}")
    return tuple(notes)
