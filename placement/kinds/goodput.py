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
from .space.variants import as_named, asked_for

POLICY = "vllm"
REQUESTS = 1000  # that each finalist is served
MOST_FINALISTS = 6
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
    crowded = _crowded(asked, wanted, found)
    finalists = _finalists(crowded, asked, seconds, solve)
    requests = arrivals(request.workload, wanted.rate_per_s, seed)
    trials: list[Trial] = []
    refused: list[InputError] = []
    for number, plan in enumerate(finalists):
        shown = None if watch is None else _shown(watch, number, len(finalists))
        try:
            trial, ended = tried(plan, request, requests, wanted, shown)
        except InputError as error:
            refused.append(error)
            continue
        if not ended:
            if not trials:
                raise KeyboardInterrupt
            trials = [replace(one, plan=replace(one.plan, status="interrupted")) for one in trials]
            break
        trials.append(trial)
    if not trials:
        raise refused[0]
    best = min(trials, key=Trial.rank)
    notes = _notes(best, wanted, seed, len(trials), crowded.question.workload.concurrency)
    notes += tuple(f"a finalist could not be simulated: {error}" for error in refused[:1])
    return _told(best, wanted, finalists, notes)


def arrivals(workload: Workload, rate_per_s: float, seed: int) -> Requests:
    """Requests of a workload's lengths that come at a rate, as ``placement simulate --rate`` makes them."""
    rng = np.random.default_rng(seed)
    prompt, output = workload.prompt_tokens, workload.output_tokens
    mix = ((1.0, Lengths(Uniform(prompt, prompt), Uniform(output, output))),)
    return make_requests(Arrivals(rate_per_s).draw(rng, REQUESTS), mix, rng, name="lengths of the workload")


def _shown(watch: Watch, number: int, count: int) -> Callable[[float, int], None]:
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


def _crowded(asked: Asked, wanted: Goodput, found: Found) -> Asked:
    """The question with as many sequences in flight as come while one is served: Little's law, to a power of two."""
    work = asked.question.workload
    plan = found(replace(asked, wish=_by(asked, "latency", limited=False), question=replace(asked.question, copies=1)))
    if plan is None:
        return asked
    alone = term_values(plan, asked.kind.terms)
    flying = wanted.rate_per_s * (alone["ttft"] + (work.output_tokens - 1) * alone["latency"])
    most = EngineOptions().max_num_seqs
    count = max(work.concurrency, 1 << math.ceil(math.log2(min(max(flying, 1.0), most))))
    return replace(asked, question=replace(asked.question, workload=replace(work, concurrency=count)))


def _by(asked: Asked, name: str, *, limited: bool) -> Wish:
    """The wish for another objective, with or without the limits that the simulation holds."""
    own = asked.wish.objective
    limits = {term: limit for term, limit in own.limits.items() if limited or term not in LIMITED}
    front = FRONT if name == "" else ()
    return Wish(replace(own, weights={name or GROUND: 1.0}, limits=limits, pareto=front))


def _parts(asked: Asked, own: Asked) -> Iterator[Asked]:
    """The same question by the objectives that bound goodput: throughput first, under the limits last.

    Throughput counts with as many sequences as come (`asked`), and with as many as the user says (`own`): fewer of
    them wait less, in several pipelines perhaps.
    """
    request: Request = asked.question
    yield replace(asked, wish=_by(asked, "throughput", limited=False))
    if own.question.workload != request.workload:
        yield replace(own, wish=_by(own, "throughput", limited=False))
    if (request.copies or 0) < 2:  # several pipelines go with throughput only; "auto" may be one
        single = replace(asked, question=replace(request, copies=1))
        yield from (replace(single, wish=_by(asked, name, limited=False)) for name in ("latency", "ttft"))
        front = replace(single, wish=_by(asked, "", limited=False))
        if request.kind == "pipeline" and len(front.tasks()) == 1:  # of many problems a front takes long
            yield front
    yield replace(asked, wish=_by(asked, "throughput", limited=True))


def _finalists(asked: Asked, own: Asked, seconds: float, solve: Solve) -> list[Plan]:
    """Distinct plans to be simulated: the best by each objective, then some of the front between them."""
    parts = list(_parts(asked, own))
    best, front = [], []
    failures: list[NotFoundError] = []
    for part in parts:
        try:
            plan, *others = solve(part, seconds / len(parts))
        except InfeasibleError:
            if part is not parts[-1]:  # only the last one has the limits that a plan may miss
                raise
            continue
        except NotFoundError as error:
            failures.append(error)
            continue
        best.append(plan)
        front += others
        if plan.status == "interrupted":
            break
    if not best:
        raise failures[0]
    found = _distinct(best)
    between = [plan for plan in _distinct([*found, *front]) if plan not in found]
    return [*found, *_spread(between, MOST_FINALISTS - len(found))][:MOST_FINALISTS]


def _distinct(plans: Sequence[Plan]) -> list[Plan]:
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


def _told(best: Trial, wanted: Goodput, finalists: Sequence[Plan], notes: tuple[str, ...]) -> Plan:
    """The best finalist with its simulated figures."""
    plan, ran = best.plan, best.figures
    # Of requests that come for ever; those by time until the last one is served would count its time too.
    value = wanted.rate_per_s * best.good / REQUESTS
    simulated = {
        "goodput_per_s": value,
        "simulated_ttft_p50_s": ran.ttft_s.p50,
        "simulated_ttft_p99_s": ran.ttft_s.p99,
        "simulated_time_per_token_p50_s": ran.time_per_token_s.p50,
        "simulated_time_per_token_p99_s": ran.time_per_token_s.p99,
    }
    interrupted = any(one.status == "interrupted" for one in (plan, *finalists))
    return replace(
        plan,
        status="interrupted" if interrupted else plan.status,
        objective=ObjectiveValue(GOODPUT, value, "requests/s", "maximize", None, None, proven_optimal=False),
        figures=Figures({**plan.figures, **{name: one for name, one in simulated.items() if math.isfinite(one)}}),
        pareto=(),
        evaluations=sum(one.evaluations for one in finalists),
        seconds=sum(one.seconds for one in finalists),
        stopped_by="interrupted" if interrupted else "exhausted",
        notes=(*notes, *plan.notes),
        picture=None if plan.picture is None else replace(plan.picture, search=()),
    )


def _notes(best: Trial, wanted: Goodput, seed: int, count: int, flying: int) -> tuple[str, ...]:
    """How the goodput was found, in words."""
    limits = (("TTFT", wanted.ttft_s), ("time per token", wanted.time_per_token_s))
    words = " and ".join(f"{name} up to {in_words(limit)}" for name, limit in limits if math.isfinite(limit))
    stream = f"{REQUESTS} requests at {wanted.rate_per_s:.4g}/s (Poisson, seed {seed}), policy {POLICY}"
    best_of = f"the best of {count} finalists" if count > 1 else "the only finalist"
    notes = [
        f"goodput: simulated, {stream}, {words}: {best_of}",
        f"searched with {flying} sequences in flight, which come while one is served or are asked for",
    ]
    if best.good == 0:
        first, between = best.figures.ttft_s.p50, best.figures.time_per_token_s.p50
        seen = f"TTFT {in_words(first)}" + (f", time per token {in_words(between)}" if between > 0 else "")
        notes.append(f"no finalist serves any request within the limits; in the median this one has {seen}")
    return tuple(notes)
