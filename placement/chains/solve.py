"""`solve_chains()`: wires a fleet, problems, the loop, packing, bound and simulation together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from objectives.chains import Chain, Composition, Fleet, chain_seconds, greedy_chains, response_bounds, total_rate

from ..errors import InfeasibleError, InputError, nearest
from ..problem import IntArray
from ..run import run
from ..solvers.annealing import Annealing
from ..stop import time_limit as until
from .bound import RateBound, rate_bound
from .groups import GroupProblem
from .packing import Packing, pack
from .problem import ChainProblem
from .simulate import Responses, simulate

OBJECTIVES = ("rate", "response")
WALK = Annealing(hot=0.1, cold=1e-3, reheat=1.0, first_cycle=200_000)
BOUND_SHARE, GROUP_SHARE, PACK_SHARE = 0.2, 0.1, 0.06
SEEDS = (11, 12, 13)  # of the simulations that choose among finalists; the caller's own are others


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
    evaluations : int
    seconds : float
    """

    plan: Composition
    rate: float
    bound: float
    relaxation: float
    response: tuple[float, float]
    simulated: Responses | None
    evaluations: int
    seconds: float

    @property
    def gap(self) -> float:
        """Relative gap of the rate to its bound."""
        return self.bound / self.rate - 1.0


@dataclass
class Clock:
    """Seconds since it was made, as parts of a limit."""

    limit: float

    def __post_init__(self) -> None:
        self.began = time.perf_counter()

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self.began

    def left(self, part: float = 1.0) -> float:
        """Seconds left until a part of the limit is over, at least a moment."""
        return max(0.02, part * self.limit - self.spent)


def solve_chains(fleet: Fleet, *, objective: str = "rate", time_limit: float = 10.0, seed: int = 0) -> ChainResult:
    """Find spans, chains and capacities for a fleet.

    Parameters
    ----------
    objective : str
        "rate": total service rate, to maximise. "response": mean response time at the fleet's arrival rate.
    time_limit : float
        Seconds of search, after the kernels are compiled; a fifth at most goes to the bound on the rate.
    seed : int
        Same seed, same search, up to where the time limit cuts it.
    """
    if objective not in OBJECTIVES:
        raise InputError(f"unknown objective '{objective}'{nearest(objective, OBJECTIVES)} (known: rate, response)")
    if not time_limit > 0:
        raise InputError(f"expected a positive number of seconds, got {time_limit}", "time_limit")
    rng = np.random.default_rng(seed)
    search = by_rate if objective == "rate" else by_response
    warm_up(fleet)
    clock = Clock(time_limit)
    packing, evaluations, bound = search(fleet, clock, rng)
    chains = packing.plan.chains
    lower, upper = bounds(fleet, chains)
    simulated = simulate(fleet, chains, seed=seed) if np.isfinite(upper) else None
    return ChainResult(
        packing.plan, packing.rate, max(bound.rate, packing.rate), packing.relaxation, (lower, upper), simulated,
        evaluations, clock.spent,
    )  # fmt: skip


Found = tuple[Packing, int, RateBound]


def by_rate(fleet: Fleet, clock: Clock, rng: np.random.Generator) -> Found:
    """Anneal disjoint chains, then spans; pack the best of the spans."""
    bound = rate_bound(fleet, go_on=lambda: clock.spent < BOUND_SHARE * clock.limit)
    problem = ChainProblem(fleet)
    starts = problem.starts()
    genomes, evaluations = anneal(problem, starts, clock, rng, clock.left(1.0 - PACK_SHARE))
    packings = [pack(fleet, problem.ranges(problem.decode(genome))) for genome in genomes]
    best = max(packings, key=lambda packing: packing.rate)
    if not best.plan.chains:
        raise InfeasibleError([f"no placement was found whose chains cover all {fleet.n_blocks} blocks"])
    return best, evaluations, bound


def by_response(fleet: Fleet, clock: Clock, rng: np.random.Generator) -> Found:
    """Anneal a mix of both bounds, its weight set by simulation from round to round; finalists meet in simulation."""
    bound = rate_bound(fleet, go_on=lambda: clock.spent < 0.5 * BOUND_SHARE * clock.limit)
    problem = ChainProblem(fleet, response=True)
    finalists: dict[bytes, IntArray] = {}
    evaluations = 0
    for end in (0.35, 0.6, 0.85):
        starts = problem.starts() if not finalists else np.stack([*finalists.values()])
        genomes, spent = anneal(problem, starts, clock, rng, clock.left(end))
        evaluations += spent
        finalists |= {genome.tobytes(): genome for genome in (*genomes, *starts[:6])}
        plan = composition(problem, genomes[0])
        problem = replace(problem, upper=weight_of_upper(fleet, plan.chains, problem.upper))
    plans = [composition(problem, genome) for genome in finalists.values()]
    best = best_simulated(fleet, plans, lambda: clock.spent < clock.limit)
    if best is None:
        raise InfeasibleError(
            [
                f"no placement was found that serves the arrivals, {fleet.arrivals_per_s:g} sessions/s; "
                f"no placement serves more than {bound.rate:.4g}"
            ]
        )
    return Packing(best, total_rate(fleet, best.chains), pack(fleet, best.spans).relaxation), evaluations, bound


def anneal(
    problem: ChainProblem, starts: IntArray, clock: Clock, rng: np.random.Generator, seconds: float
) -> tuple[list[IntArray], int]:
    """Best genomes, the best first, and how many placements were scored."""
    groups = GroupProblem(problem)
    first = run(groups, WALK, rng=rng, start=groups.starts(), stop=until(min(GROUP_SHARE * clock.limit, 0.3 * seconds)))
    disjoint = problem.encode(first.spans)
    pool = np.concatenate([disjoint[None, :], starts[:4]])
    costs, broken = problem.evaluate(pool)
    pool = pool[np.lexsort((costs, broken))]
    rest = max(0.02, seconds - first.seconds)
    outcome = run(problem, WALK, rng=rng, start=pool, stop=until(rest))
    best = problem.encode(outcome.spans)
    return [best, disjoint, starts[0]], first.evaluations + outcome.evaluations


def warm_up(fleet: Fleet) -> None:
    """Compile the kernels, so that no time limit pays for it."""
    short = until(1e-3)
    rng = np.random.default_rng(0)
    for problem in (ChainProblem(fleet), GroupProblem(ChainProblem(fleet))):
        run(problem, Annealing(first_cycle=1), rng=rng, start=problem.random(rng, 2), stop=short)
    rate_bound(fleet, rounds=0)
    pack(fleet, ChainProblem(fleet).ranges(ChainProblem(fleet).decode(ChainProblem(fleet).starts()[0])))
    simulate(fleet, (Chain((0,), (fleet.n_blocks,), 1),), sessions=1)


def composition(problem: ChainProblem, genome: IntArray) -> Composition:
    """Genome to spans with greedy chains."""
    ranges = problem.ranges(problem.decode(genome))
    return Composition(ranges, greedy_chains(problem.fleet, ranges))


def bounds(fleet: Fleet, chains: tuple[Chain, ...]) -> tuple[float, float]:
    """Both birth-death bounds in s of chains."""
    seconds = [chain_seconds(fleet, chain) for chain in chains]
    return response_bounds(seconds, [chain.capacity for chain in chains], fleet.arrivals_per_s)


def simulated_mean(fleet: Fleet, chains: tuple[Chain, ...]) -> float:
    """Mean response time in s over the choosing seeds; infinite where arrivals exceed the rate."""
    if not chains or total_rate(fleet, chains) <= fleet.arrivals_per_s:
        return float("inf")
    return float(np.mean([simulate(fleet, chains, seed=seed).mean_s for seed in SEEDS]))


def weight_of_upper(fleet: Fleet, chains: tuple[Chain, ...], before: float) -> float:
    """Where the simulated response time lies between its bounds: 0 at the lower, 1 at the upper one."""
    lower, upper = bounds(fleet, chains)
    if not np.isfinite(upper) or upper - lower < 0.01 * lower:
        return before
    return float(np.clip((simulated_mean(fleet, chains) - lower) / (upper - lower), 0.02, 0.9))


def best_simulated(fleet: Fleet, plans: Iterable[Composition], go_on: Callable[[], bool]) -> Composition | None:
    """Plan of the least simulated response time; chains too slow to be worth joining are dropped."""
    ranked = sorted(((simulated_mean(fleet, plan.chains), k, plan) for k, plan in enumerate(plans)))
    if not ranked or not np.isfinite(ranked[0][0]):
        return None
    value, _, best = ranked[0]
    while len(best.chains) > 1 and go_on():
        fewer = Composition(best.spans, best.chains[:-1])
        mean = simulated_mean(fleet, fewer.chains)
        if mean >= value:
            break
        value, best = mean, fewer
    return best
