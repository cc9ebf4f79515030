"""`solve_chains()`: wires a fleet, the searches, bounds and simulation together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from objectives.sessions.baselines import bounds_of
from objectives.sessions.chains import Chain, Composition, Fleet
from placement.errors import InputError, nearest
from placement.search.loop import run
from placement.search.solvers.annealing import Annealing
from placement.search.solvers.tempering import Tempering
from placement.search.stop import ensure_seconds
from placement.search.stop import time_limit as until
from placement.simulate.sessions import Responses, simulate

from .bound import rate_bound
from .columns import pack
from .disjoint import GroupProblem
from .problem import SessionsProblem
from .search import Clock, Show, by_rate, by_response

OBJECTIVES = ("rate", "response")


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What `solve_chains` returns.

    Attributes
    ----------
    plan : Composition
        Spans, chains and capacities.
    rate, bound : float
        Total service rate in sessions/s; proven bound on it over all placements.
    relaxation : float
        Proven bound on the rate of this placement with any chains.
    response : tuple of float
        Lower and upper birth-death bound on the mean response time in s; infinite when arrivals exceed the rate.
    simulated : Responses or None
        Response times in an event simulation; None when arrivals exceed the rate.
    response_bound : float or None
        Seconds that the mean response time of no placement goes below, proven; None when the rate was asked for.
    evaluations : int
    seconds : float
    interrupted : bool
        Ctrl-C ended the search; this is the best so far.
    """

    plan: Composition
    rate: float
    bound: float
    relaxation: float
    response: tuple[float, float]
    simulated: Responses | None
    response_bound: float | None
    evaluations: int
    seconds: float
    interrupted: bool = False

    @property
    def gap(self) -> float:
        """Relative gap of the rate to its bound."""
        return self.bound / self.rate - 1.0


def solve_chains(
    fleet: Fleet, *, objective: str = "rate", time_limit: float = 10.0, seed: int = 0, progress: Show | None = None
) -> ChainResult:
    """Find spans, chains and capacities for a fleet; Ctrl-C ends the search, and the best so far is returned.

    Parameters
    ----------
    objective : str
        "rate": total service rate, to maximise. "response": mean response time at the fleet's arrival rate.
    time_limit : float
        Seconds of search, after the kernels are compiled; two fifths at most go to the bounds, usually a tenth.
    seed : int
        Same seed, same search, up to where the time limit cuts it.
    progress : callable, optional
        Called a few times a second with the seconds so far and the progress of the search.
    """
    if objective not in OBJECTIVES:
        raise InputError(f"unknown objective '{objective}'{nearest(objective, OBJECTIVES)} (known: rate, response)")
    ensure_seconds(time_limit)
    rng = np.random.default_rng(seed)
    warm_up(fleet)
    clock = Clock(time_limit, progress)
    found = (by_rate if objective == "rate" else by_response)(fleet, clock, rng)
    packing, chains = found.packing, found.packing.plan.chains
    lower, upper = bounds_of(fleet, chains)
    simulated = simulate(fleet, chains, seed=seed) if np.isfinite(upper) else None
    return ChainResult(
        packing.plan, packing.rate, max(found.bound.rate, packing.rate), packing.relaxation, (lower, upper), simulated,
        found.response_bound, found.evaluations, clock.spent, clock.interrupted,
    )  # fmt: skip


def warm_up(fleet: Fleet) -> None:
    """Compile the kernels, so that no time limit pays for it."""
    short, rng, chains = until(1e-3), np.random.default_rng(0), SessionsProblem(fleet)
    for problem, walk in (
        (chains, Annealing(first_cycle=1)), (GroupProblem(chains), Annealing(first_cycle=1)), (chains, Tempering())
    ):  # fmt: skip
        run(problem, walk, rng=rng, start=problem.random(rng, 2), stop=short)
    rate_bound(fleet, rounds=0)
    pack(fleet, chains.ranges(chains.decode(chains.starts()[0])))
    simulate(fleet, (Chain((0,), (fleet.n_blocks,), 1),), sessions=1)
