"""The closer look at a few placements: packed by columns for the rate, simulated for the response time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from objectives.sessions.baselines import bounds_of
from objectives.sessions.chains import Chain, Composition, Fleet, greedy_chains, total_rate
from objectives.sessions.terms import no_chain_s
from placement.simulate.sessions import simulate

from .columns import Packing, pack
from .problem import SessionsProblem

NARROW = 0.03  # bounds nearer to each other than this tell no weight: the simulation's noise is as large
SEEDS = (11, 12, 13)  # of the simulations that choose among finalists; the caller's own are others


@dataclass(frozen=True, slots=True, order=True)
class SimulatedScore:
    """What counts of a plan whose response time was simulated: less violation first, then less cost."""

    violation: float
    cost: float


def simulated_mean(fleet: Fleet, chains: Sequence[Chain]) -> float:
    """Mean response time in s over the choosing seeds; infinite where the arrivals are more than the rate."""
    if not chains or total_rate(fleet, chains) <= fleet.arrivals_per_s:
        return float("inf")
    return float(np.mean([simulate(fleet, chains, seed=seed).mean_s for seed in SEEDS]))


def judged(problem: SessionsProblem, chains: Sequence[Chain], response_s: float) -> SimulatedScore:
    """Cost and violation of chains with a response time that was measured; infinite stands for too many arrivals.

    Parameters
    ----------
    problem : SessionsProblem
    chains : sequence of Chain
        Those that serve.
    response_s : float
        Mean response time in s.
    """
    if not chains:
        return SimulatedScore(2.0, no_chain_s(problem.fleet))
    values = np.array([1.0 / total_rate(problem.fleet, chains), response_s])
    if not problem.response:
        values[1] = 0.0
    if not np.isfinite(values).all():
        return SimulatedScore(1.0, no_chain_s(problem.fleet))
    excess = np.maximum(values / problem.objective.limit_vector() - 1.0, 0.0)
    return SimulatedScore(float(excess.sum()), float(problem.objective.weight_vector() @ values))


def by_simulation(problem: SessionsProblem, chains: Sequence[Chain]) -> SimulatedScore:
    """Cost and violation with the simulated response time."""
    return judged(problem, chains, simulated_mean(problem.fleet, chains))


def leading(problem: SessionsProblem, plans: Sequence[Composition]) -> Generator[None, None, Composition]:
    """The plan that is best in simulation, the first of equal ones; a step for each."""
    found = []
    for plan in plans:
        found.append(by_simulation(problem, plan.chains))
        yield
    return plans[found.index(min(found))]


def weight_of_upper(problem: SessionsProblem, plan: Composition) -> float:
    """Where a plan's simulated response time lies between its bounds: 0 at the lower, 1 at the upper one."""
    lower, upper = bounds_of(problem.fleet, plan.chains)
    if not np.isfinite(upper) or upper - lower < NARROW * lower:
        return problem.upper
    return float(np.clip((simulated_mean(problem.fleet, plan.chains) - lower) / (upper - lower), 0.02, 0.9))


def best_packed(problem: SessionsProblem, plans: Sequence[Composition]) -> Packing:
    """The plan of the largest total rate, its chains packed or greedy, whichever serve more."""
    return max((pack(problem.fleet, plan.spans) for plan in plans), key=lambda packing: packing.rate)


def best_simulated(problem: SessionsProblem, plans: Sequence[Composition], tries: int) -> Composition:
    """The plan that is best in simulation, with as many of its greedy chains as are worth joining.

    Parameters
    ----------
    problem : SessionsProblem
    plans : sequence of Composition
    tries : int
        Most numbers of chains that are tried for the best of the plans.
    """
    found = [by_simulation(problem, plan.chains) for plan in plans]
    least = min(found)
    best = plans[found.index(least)]
    every = greedy_chains(problem.fleet, best.spans)
    for count in range(len(every), max(0, len(every) - tries), -1):
        value = by_simulation(problem, every[:count])
        if value < least:
            least, best = value, Composition(best.spans, every[:count])
    return best
