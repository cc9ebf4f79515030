"""The two searches over a fleet's placements: for the total rate, and for the mean response time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from objectives.sessions.baselines import bounds_of
from objectives.sessions.chains import Chain, Composition, Fleet, greedy_chains, total_rate
from placement.errors import InfeasibleError
from placement.search.loop import run
from placement.search.problem import IntArray
from placement.search.solvers.annealing import Annealing
from placement.search.solvers.tempering import Tempering
from placement.search.stop import Progress, StoppedBy
from placement.search.stop import time_limit as until
from placement.simulate.sessions import simulate

from .alike import lines
from .bound import RateBound, rate_bound, response_bound
from .columns import Packing, pack, relaxed
from .disjoint import GroupProblem
from .problem import SessionsProblem
from .stages import stage_starts

MOVES_PER_SERVER = 2_500  # of the first cycle, at least
CYCLE_SHARE = 0.12  # part of a search's time that its first cycle takes: a few slow coolings beat many quick ones
MOVES_PER_SECOND, SERVERS, POWER = 1e6, 10, 1.25  # scored on one core with so many servers, and how fast that falls
HOT, SLOW, MILD = 0.3, 20_000, 1.3  # temperature of a cycle of so many moves per server; shorter ones begin colder
RACERS, MOVES_PER_RACER, RACE_SHARE = 8, 8_000, 0.5  # starts that race, each with so many moves per server
EXCHANGE, EXCHANGE_RACE_SHARE = 50_000, 0.3  # moves per server that replica exchange needs to beat coolings; its race
BOUND_SHARE, GROUP_SHARE, PACK_SHARE = 0.4, 0.1, 0.06
RESPONSE_BOUND_SHARE = 0.2
COLD_START = 0.05  # temperature at which racers begin: they are to stay in their basin
ROUNDS = (0.4, 0.6, 0.77, 0.93)  # parts of the time limit at which rounds of the response search end
NARROW = 0.03  # bounds nearer to each other than this tell no weight: the simulation's noise is as large
SEEDS = (11, 12, 13)  # of the simulations that choose among finalists; the caller's own are others

Show = Callable[[float, Progress], None]


@dataclass
class Clock:
    """Seconds since it was made, as parts of a limit; Ctrl-C ends what runs, and leaves no time to what follows.

    Attributes
    ----------
    show : callable or None
        Called with the seconds so far and the progress of the search in hand.
    """

    limit: float
    show: Show | None = None
    interrupted: bool = False
    began: float = field(default_factory=time.perf_counter)

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self.began

    def left(self, part: float = 1.0) -> float:
        """Seconds left until a part of the limit is over, at least a moment."""
        return 0.02 if self.interrupted else max(0.02, part * self.limit - self.spent)

    def within(self, part: float) -> Callable[[], bool]:
        """Tell, when called, whether a part of the limit is not over."""
        return lambda: not self.interrupted and self.spent < part * self.limit

    def note(self, progress: Progress) -> None:
        """Pass progress on."""
        if self.show is not None:
            self.show(self.spent, progress)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search ends with; `response_bound` in s, when it was asked for."""

    packing: Packing
    evaluations: int
    bound: RateBound
    response_bound: float | None = None


def by_rate(fleet: Fleet, clock: Clock, rng: np.random.Generator) -> Found:
    """Anneal disjoint chains, then spans; pack the best of the spans."""
    bound = rate_bound(fleet, go_on=clock.within(BOUND_SHARE))
    problem = SessionsProblem(fleet)
    starts = problem.starts()
    genomes, evaluations = anneal(problem, starts, clock, rng, clock.left(1.0 - PACK_SHARE))
    best = best_packed(fleet, [composition(problem, genome) for genome in genomes], clock)
    if not best.plan.chains:
        if clock.interrupted:
            raise KeyboardInterrupt
        raise InfeasibleError([f"no placement was found whose chains cover all {fleet.n_blocks} blocks"])
    return Found(best, evaluations, bound)


def best_packed(fleet: Fleet, plans: list[Composition], clock: Clock) -> Packing:
    """Pack the placements for the total rate and take the best; Ctrl-C leaves the greedy chains of those not packed."""
    packings = [Packing(plan, total_rate(fleet, plan.chains), np.inf) for plan in plans]
    try:
        packings += [pack(fleet, plan.spans) for plan in plans]
    except KeyboardInterrupt:
        clock.interrupted = True
    return max(reversed(packings), key=lambda packing: packing.rate)


def by_response(fleet: Fleet, clock: Clock, rng: np.random.Generator) -> Found:
    """Anneal a mix of both bounds; finalists meet in simulation.

    From round to round the weight of the mix is that with which it equals the simulation of the best plan so far.
    """
    least, bound = response_bound(fleet, go_on=clock.within(RESPONSE_BOUND_SHARE))
    if not np.isfinite(least):
        raise too_many(fleet, bound)
    problem = SessionsProblem(fleet, response=True)
    starts = problem.starts()
    finalists = {genome.tobytes(): genome for genome in starts[:6]}
    evaluations, leader = 0, composition(problem, starts[0])
    for end in ROUNDS:
        genomes, spent = anneal(
            problem,
            ranked(problem, np.stack([*finalists.values()])),
            clock,
            rng,
            clock.left(end),
            grouped=end == ROUNDS[0],
        )
        evaluations += spent
        finalists |= {genome.tobytes(): genome for genome in genomes}
        if clock.interrupted:
            break
        plans = [composition(problem, genome) for genome in genomes]
        leader = min((*plans, leader), key=lambda plan: simulated_mean(fleet, plan.chains))
        problem = replace(problem, upper=weight_of_upper(fleet, leader.chains, problem.upper))
    plans = [composition(problem, genome) for genome in finalists.values()]
    try:
        best = best_simulated(fleet, plans, clock.within(1.0))
    except KeyboardInterrupt:
        clock.interrupted = True
        best = composition(problem, genomes[0])
    if best is None or total_rate(fleet, best.chains) <= fleet.arrivals_per_s:
        if clock.interrupted:
            raise KeyboardInterrupt
        raise too_many(fleet, bound)
    relaxation = relaxed(fleet, best.spans, best.chains)[1]
    return Found(Packing(best, total_rate(fleet, best.chains), relaxation), evaluations, bound, least)


def ranked(problem: SessionsProblem, genomes: IntArray) -> IntArray:
    """Genomes by their present cost, the best first."""
    costs, broken = problem.evaluate(genomes)
    return genomes[np.lexsort((costs, broken))]


def distinct(problem: SessionsProblem, genomes: IntArray) -> IntArray:
    """One genome of each cost, the best first: equal costs are mostly the same chains beside servers without any."""
    costs, broken = problem.evaluate(genomes)
    order = np.lexsort((costs, broken))
    news = np.diff(np.round(np.stack([costs, broken])[:, order], 9), prepend=np.nan, axis=1).any(axis=0)
    return genomes[order[news]]


def too_many(fleet: Fleet, bound: RateBound) -> InfeasibleError:
    """The arrivals are more than any placement serves, or than any that was found."""
    return InfeasibleError(
        [
            f"no placement was found that serves the arrivals, {fleet.arrivals_per_s:g} sessions/s; "
            f"no placement serves more than {bound.rate:.4g}"
        ]
    )


def anneal(
    problem: SessionsProblem, starts: IntArray, clock: Clock, rng: np.random.Generator, seconds: float,
    *, grouped: bool = True,
) -> tuple[list[IntArray], int]:  # fmt: skip
    """Anneal disjoint chains when `grouped`, then spans, from the best of the starts and of them.

    Returns the best genomes, the best first, and how many placements were scored.
    """
    began, found, tried = clock.spent, [starts[0]], 0
    exchange = exchanges(problem, seconds, first=grouped)
    if grouped:
        groups = GroupProblem(problem)
        stop = until(min(GROUP_SHARE * clock.limit, 0.2 * seconds))
        first = run(groups, cooling(problem.fleet), rng=rng, start=groups.starts(), stop=stop, show=clock.note)
        clock.interrupted |= first.stopped_by is StoppedBy.INTERRUPTED
        raced, tried = race(problem, clock, rng, (EXCHANGE_RACE_SHARE if exchange else RACE_SHARE) * seconds)
        found = [problem.encode(first.spans), *raced, *found]
        tried += first.evaluations
    pool = ranked(problem, np.unique(np.concatenate([np.stack(found), starts[:6]]), axis=0))
    rest = 0.02 if clock.interrupted else max(0.02, seconds - (clock.spent - began))
    walk = Tempering() if exchange else cooling(problem.fleet, rest)
    outcome = run(problem, walk, rng=rng, start=pool, stop=until(rest), show=clock.note)
    clock.interrupted |= outcome.stopped_by is StoppedBy.INTERRUPTED
    return [problem.encode(outcome.spans), *found], tried + outcome.evaluations


def exchanges(problem: SessionsProblem, seconds: float, *, first: bool) -> bool:
    """Whether replica exchange is to walk: where the time is enough, but not in the first round for the response.

    That round is to find many basins for the others to choose from.
    """
    enough = moves_in(problem.fleet, seconds) > EXCHANGE * problem.fleet.n_servers
    return enough and not (first and problem.response)


def race(
    problem: SessionsProblem, clock: Clock, rng: np.random.Generator, seconds: float
) -> tuple[list[IntArray], int]:
    """Cool the best of chains alike and of stages, one of each cost; anneal the best three; return them."""
    count = racers(problem.fleet, seconds)
    if count == 0:
        return [], 0
    best = [
        ranked(problem, np.stack([problem.genome(spans) for spans in rows]))[0]
        for rows in stage_starts(problem.fleet).values()
    ]
    best += [problem.genome(spans) for spans in lines(problem.fleet, response=problem.response)]
    if not best:
        return [], 0
    heats = distinct(problem, np.stack(best))[:count]
    short = replace(cooling(problem.fleet, 0.5 * seconds / count), hot=COLD_START, last_cycle=MOVES_PER_SERVER)
    first, tried = heat(problem, heats, short, clock, rng, 0.5 * seconds)
    finals = ranked(problem, np.stack([*first, heats[0]]))[:3]
    second, more = heat(problem, finals, cooling(problem.fleet, seconds / 6.0), clock, rng, 0.5 * seconds)
    return list(ranked(problem, np.stack([*second, finals[0]]))[:3]), tried + more


def heat(
    problem: SessionsProblem, starts: IntArray, walk: Annealing, clock: Clock, rng: np.random.Generator, seconds: float
) -> tuple[list[IntArray], int]:
    """Anneal each of the starts for its part of the seconds."""
    done, tried = [], 0
    for k in range(len(starts)):
        if clock.interrupted:
            break
        outcome = run(
            problem, walk, rng=rng, start=starts[k : k + 1], stop=until(seconds / len(starts)), show=clock.note
        )
        clock.interrupted |= outcome.stopped_by is StoppedBy.INTERRUPTED
        done.append(problem.encode(outcome.spans))
        tried += outcome.evaluations
    return done, tried


def racers(fleet: Fleet, seconds: float) -> int:
    """How many starts the seconds are enough for; none when a race would leave too little for the rest."""
    count = int(moves_in(fleet, seconds) / (MOVES_PER_RACER * fleet.n_servers))
    return 0 if count < 3 else min(RACERS, count)


def moves_in(fleet: Fleet, seconds: float) -> float:
    """About how many moves the seconds are worth, guessed from the number of servers, not measured."""
    return float(seconds * MOVES_PER_SECOND * (SERVERS / fleet.n_servers) ** POWER)


def cooling(fleet: Fleet, seconds: float = 0.0) -> Annealing:
    """Cycles whose first takes a part of the seconds."""
    per_server = max(MOVES_PER_SERVER, CYCLE_SHARE * moves_in(fleet, seconds) / fleet.n_servers)
    hot = HOT * min(1.0, per_server / SLOW) ** MILD
    return Annealing(hot=hot, cold=min(1e-3, 0.1 * hot), reheat=1.0, first_cycle=int(per_server * fleet.n_servers))


def composition(problem: SessionsProblem, genome: IntArray) -> Composition:
    """Genome to spans with greedy chains; for the response, with those that are worth joining."""
    ranges = problem.ranges(problem.decode(genome))
    chains = greedy_chains(problem.fleet, ranges)
    if problem.response and chains:
        chains = chains[: problem.kept(chains)[0]]
    return Composition(ranges, chains)


def simulated_mean(fleet: Fleet, chains: tuple[Chain, ...]) -> float:
    """Mean response time in s over the choosing seeds; infinite where arrivals exceed the rate."""
    if not chains or total_rate(fleet, chains) <= fleet.arrivals_per_s:
        return float("inf")
    return float(np.mean([simulate(fleet, chains, seed=seed).mean_s for seed in SEEDS]))


def weight_of_upper(fleet: Fleet, chains: tuple[Chain, ...], before: float) -> float:
    """Where the simulated response time lies between its bounds: 0 at the lower, 1 at the upper one."""
    lower, upper = bounds_of(fleet, chains)
    if not np.isfinite(upper) or upper - lower < NARROW * lower:
        return before
    return float(np.clip((simulated_mean(fleet, chains) - lower) / (upper - lower), 0.02, 0.9))


def best_simulated(fleet: Fleet, plans: Iterable[Composition], go_on: Callable[[], bool]) -> Composition | None:
    """Plan of the least simulated response time, with as many of its greedy chains as are worth joining."""
    ranked = sorted(((simulated_mean(fleet, plan.chains), k, plan) for k, plan in enumerate(plans)))
    if not ranked or not np.isfinite(ranked[0][0]):
        return None
    value, _, best = ranked[0]
    every = greedy_chains(fleet, best.spans)
    for count in range(len(every), 0, -1):
        if not go_on():
            break
        mean = simulated_mean(fleet, every[:count])
        if mean < value:
            value, best = mean, Composition(best.spans, every[:count])
    return best
