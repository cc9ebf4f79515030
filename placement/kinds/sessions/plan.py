"""From spans and chains of server numbers to plans with named servers and figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from objectives.sessions.baselines import bounds_of
from objectives.sessions.chains import Chain, Composition, Fleet, chain_seconds, total_rate
from placement.costs.intervals import MEASURED, intervals_of
from placement.plan.plan import Figures, NodeUse, ObjectiveValue, PlacedChain, PlacedSpan, Plan
from placement.plan.values import OPTIMAL_GAP, objective_value
from placement.simulate.sessions import SESSIONS, Responses, simulate

from .bound import Proven
from .closer import SimulatedScore, judged
from .problem import SessionsProblem

UNSTABLE = "not stable: arrivals exceed the rate, so the queue grows for ever and no response time is told"
CLOSE = f"servers {MEASURED:g} times slower than they say would not keep up: no interval of the response time is told"


@dataclass(frozen=True, slots=True)
class Looked:
    """A plan at which the closer look was taken.

    Attributes
    ----------
    plan : Composition
        Its chains are those that serve.
    simulated : Responses or None
        None when no fewer sessions arrive than the chains serve.
    judged : SimulatedScore
        By the simulated response time, where the response time counts.
    ends : (Responses, Responses) or None
        Simulated as far as the servers' seconds may be off, to either side; None where the slower ones do not keep up.
    """

    plan: Composition
    simulated: Responses | None
    judged: SimulatedScore
    ends: tuple[Responses, Responses] | None = None


def looked_at(problem: SessionsProblem, plan: Composition, seed: int) -> Looked:
    """Simulate a plan with the caller's seed."""
    fleet = problem.fleet
    stable = total_rate(fleet, plan.chains) > fleet.arrivals_per_s
    simulated = simulate(fleet, plan.chains, seed=seed) if stable else None
    score = judged(problem, plan.chains, simulated.mean_s if simulated else math.inf)
    return Looked(plan, simulated, score, ends_of(fleet, plan, seed))


def ends_of(fleet: Fleet, plan: Composition, seed: int) -> tuple[Responses, Responses] | None:
    """Responses where all servers are quicker than they say, and slower, by as much as measured seconds may be off."""
    if total_rate(fleet, plan.chains) <= MEASURED * fleet.arrivals_per_s:
        return None
    found = []
    for factor in (1.0 / MEASURED, MEASURED):  # seconds times a factor are arrivals times it, in a unit of time as long
        other = simulate(replace(fleet, arrivals_per_s=fleet.arrivals_per_s * factor), plan.chains, seed=seed)
        found.append(Responses(other.mean_s * factor, other.p95_s * factor, other.waited))
    return found[0], found[1]


def plan_of(
    problem: SessionsProblem, looked: Looked, proven: Proven, bound: float, *, relaxation: float | None = None
) -> Plan:
    """A plan from spans and chains of server numbers.

    Parameters
    ----------
    problem : SessionsProblem
    looked : Looked
    proven : Proven
        Over all placements.
    bound : float
        Proven on the cost; minus infinity for none.
    relaxation : float, optional
        Sessions/s that no other chains of this placement exceed.
    """
    fleet, plan = problem.fleet, looked.plan
    rate = total_rate(fleet, plan.chains)
    value = value_of(problem, looked, bound)
    figures: dict[str, float] = {"rate_per_s": rate, "rate_bound_per_s": max(proven.rate, rate)}
    if relaxation is not None:
        figures["rate_bound_of_this_placement_per_s"] = max(rate, relaxation)
    figures |= {
        "arrivals_per_s": fleet.arrivals_per_s,
        "sessions_at_once": sum(chain.capacity for chain in plan.chains),
        **responses_of(fleet, looked, proven),
    }
    return Plan(
        kind="sessions",
        status="solved" if looked.judged.violation == 0 else "infeasible",
        model="",
        n_blocks=fleet.n_blocks,
        block_names=tuple(f"layer.{k}" for k in range(fleet.n_blocks)),
        placement=tuple(
            PlacedSpan(name, start, stop)
            for name, (start, stop) in zip(fleet.names, plan.spans, strict=True)
            if stop > start
        ),
        objective=value,
        figures=Figures(figures),
        intervals={**intervals_of(None, (), figures), **response_intervals(looked)},
        nodes=nodes_of(fleet, plan),
        chains=tuple(placed(fleet, chain) for chain in plan.chains),
        notes=(*too_small(fleet), *steady(looked)),
    )


def value_of(problem: SessionsProblem, looked: Looked, bound: float) -> ObjectiveValue:
    """The objective's value; a simulated response time has noise, so it is never what proves a plan optimal."""
    feasible, cost = looked.judged.violation == 0, looked.judged.cost
    value = objective_value(problem.objective, cost, min(bound, cost) if feasible else bound, feasible=feasible)
    if not problem.response or value.gap is None:
        return value
    upper = judged(problem, looked.plan.chains, bounds_of(problem.fleet, looked.plan.chains)[1]).cost
    proven = feasible and upper <= bound * (1.0 + OPTIMAL_GAP) and not problem.objective.pareto
    return replace(
        value,
        bound=problem.objective.value(bound),
        gap=0.0 if proven else value.gap,
        proven_optimal=proven,
    )


def responses_of(fleet: Fleet, looked: Looked, proven: Proven) -> Mapping[str, float]:
    """Figures of the response time; none where the queue grows for ever."""
    if looked.simulated is None:
        return {}
    lower, upper = bounds_of(fleet, looked.plan.chains)
    return {
        "response_bound_s": proven.response_s,
        "response_lower_bound_s": lower,
        "response_upper_bound_s": upper,
        "response_simulated_s": looked.simulated.mean_s,
        "response_simulated_p95_s": looked.simulated.p95_s,
    }


def response_intervals(looked: Looked) -> Mapping[str, tuple[float, float]]:
    """Low and high of the simulated response times, in s."""
    if looked.ends is None:
        return {}
    low, high = looked.ends
    return {"response_simulated_s": (low.mean_s, high.mean_s), "response_simulated_p95_s": (low.p95_s, high.p95_s)}


def steady(looked: Looked) -> tuple[str, ...]:
    """What is not told because the queue would grow for ever."""
    if looked.simulated is None:
        return (UNSTABLE,)
    return (CLOSE,) if looked.ends is None else ()


def nodes_of(fleet: Fleet, plan: Composition) -> tuple[NodeUse, ...]:
    """Memory for weights and reserved caches, and seconds that a session spends at a server, over all full chains."""
    caches, busy = np.zeros(fleet.n_servers), np.zeros(fleet.n_servers)
    rate = total_rate(fleet, plan.chains)
    for chain in plan.chains:
        share = chain.capacity / chain_seconds(fleet, chain) / rate
        for j, blocks in zip(chain.servers, chain.blocks, strict=True):
            caches[j] += fleet.cache_bytes * blocks * chain.capacity
            busy[j] += share * (fleet.session_s[j] + fleet.block_s[j] * blocks)
    return tuple(
        NodeUse(name, float(memory), float(fleet.block_bytes * (stop - start) + cache), float(seconds))
        for name, memory, (start, stop), cache, seconds in zip(
            fleet.names, fleet.memory_bytes, plan.spans, caches, busy, strict=True
        )
    )


def placed(fleet: Fleet, chain: Chain) -> PlacedChain:
    """A chain with the names of its servers."""
    names = tuple(fleet.names[j] for j in chain.servers)
    return PlacedChain(names, chain.stops, chain.capacity, chain_seconds(fleet, chain))


def too_small(fleet: Fleet) -> Sequence[str]:
    """Servers that hold nothing whatever the plan, a line each."""
    need = fleet.block_bytes + fleet.cache_bytes
    return [
        f"{name} holds nothing: {memory / 1e9:g} GB are less than a block with a session's cache, {need / 1e9:g} GB"
        for name, memory, most in zip(fleet.names, fleet.memory_bytes, fleet.most_blocks, strict=True)
        if most == 0
    ]


def how_measured() -> str:
    """What stands behind the response times."""
    return f"response times: {SESSIONS:,} sessions with exponential sizes, each joins the fastest free chain"
