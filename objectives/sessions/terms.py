"""The terms of chains with reserved caches, in plain Python: the reference of the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..combine import SESSIONS, Objective
from .chains import MOST_LOAD, Chain, Fleet, chain_seconds, fastest_kept, response_bounds, total_rate

BY_RATE = Objective({"rate": 1.0}, terms=SESSIONS)
BY_RESPONSE = Objective({"response": 1.0}, terms=SESSIONS)
RATE, RESPONSE, BOTH = 0, 1, 2
UPPER = 0.3  # weight of the upper bound on the response time; the lower bound alone is not safe to minimise


def goal_of(objective: Objective) -> int:
    """Which chains serve; it depends on the terms that the objective, its limits or its front speak of.

    RATE: all chains, however many sessions arrive. RESPONSE: those that are worth joining. BOTH: all of them, and the
    arrivals must not be more than they carry.
    """
    asked = {*objective.weights, *objective.limits, *objective.pareto}
    return RATE if "response" not in asked else RESPONSE if asked == {"response"} else BOTH


@dataclass(frozen=True, slots=True)
class Terms:
    """What a search minimises.

    Attributes
    ----------
    session_s : float
        One over the total rate of all chains, in s.
    response_s : float
        Mix of both bounds on the mean response time of the chains that serve, in s; arrivals that they do not carry
        are cut to what they do.
    kept : int
        How many of the chains serve, the fastest first.
    overload : float
        Part by which the arrivals are more than the chains carry, where the goal forbids it; 0 elsewhere.
    """

    session_s: float
    response_s: float
    kept: int
    overload: float


def terms_of(fleet: Fleet, chains: Sequence[Chain], goal: int, upper: float = UPPER) -> Terms:
    """The terms of chains.

    Parameters
    ----------
    fleet : Fleet
    chains : sequence of Chain
        The fastest first, as `greedy_chains` returns them.
    goal : int
        See `goal_of`.
    upper : float
        Weight of the upper bound in the mix.
    """
    if not chains:
        worst = no_chain_s(fleet)
        return Terms(worst, worst, 0, 0.0)
    rate = total_rate(fleet, chains)
    seconds, capacities = [chain_seconds(fleet, chain) for chain in chains], [chain.capacity for chain in chains]
    overload = 0.0 if goal == RATE else max(0.0, fleet.arrivals_per_s / (MOST_LOAD * rate) - 1.0)
    if goal == RESPONSE:
        kept, mixed = fastest_kept(seconds, capacities, fleet.arrivals_per_s, upper)
        return Terms(1.0 / rate, mixed, kept, overload)
    lower, high = response_bounds(seconds, capacities, min(fleet.arrivals_per_s, MOST_LOAD * rate))
    return Terms(1.0 / rate, (1.0 - upper) * lower + upper * high, len(chains), overload)


def no_chain_s(fleet: Fleet) -> float:
    """Seconds that stand for both terms where there is no chain: more than those of any chain."""
    return float(fleet.session_s.sum() + fleet.block_s.sum() * fleet.n_blocks)
