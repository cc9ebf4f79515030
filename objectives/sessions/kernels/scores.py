"""Greedy chain allocation and the scores of its chains, compiled: the twin of `objectives/sessions/chains.py`.

A placement is one row of integers, the *genome*: the first block of each of J servers, then the number of blocks
of each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.combine import Objective
from objectives.jit import inner, kernel

from ..chains import FASTER, MOST_LOAD, Fleet
from ..terms import BY_RATE, BY_RESPONSE, UPPER
from ..terms import RATE as RATE
from ..terms import RESPONSE as RESPONSE

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
# Rows of `ChainData.ints` (scratch).
FREE, NEXT, HEAD, VIA, BEFORE, ENDS, CAPACITY = range(7)


class ChainData(NamedTuple):
    """What the kernels read; the arrays are few, since every call counts references to each of them.

    Attributes
    ----------
    slots : int array (J, L + 1)
        Cache slots of server j with m blocks; -1 where they do not fit.
    seconds : array (J, 2)
        Seconds per session, and per session and block.
    most : int array (J,)
        Most blocks of a server.
    n_blocks : int
    arrivals : float
        Sessions per second.
    goal : int
        RATE, RESPONSE or BOTH, see `goal_of`.
    weights, limits : (float, float)
        Of the seconds per session of the total rate, and of the response time in s; limits are infinite when free.
    upper : float
        Weight of the upper bound on the response time; the lower one has the rest.
    ints, floats : array
        Scratch, never read across calls.
    """

    slots: IntArray
    seconds: FloatArray
    most: IntArray
    n_blocks: int
    arrivals: float
    goal: int
    weights: tuple[float, float]
    limits: tuple[float, float]
    upper: float
    ints: IntArray
    floats: FloatArray


def chain_data(fleet: Fleet, goal: int, upper: float = UPPER, objective: Objective | None = None) -> ChainData:
    """Pack a fleet for the kernels.

    Parameters
    ----------
    fleet : Fleet
    goal : int
        RATE, RESPONSE or BOTH.
    upper : float
        Weight of the upper bound in the response time.
    objective : Objective, optional
        Weights and limits over the terms of sessions; by default the term of the goal alone.
    """
    width = max(fleet.n_servers, fleet.n_blocks + 1, 4 * fleet.n_servers) + 2
    objective = objective or (BY_RATE if goal == RATE else BY_RESPONSE)
    weights, limits = objective.weight_vector().tolist(), objective.limit_vector().tolist()
    return ChainData(
        slots=fleet.slots,
        seconds=np.stack([fleet.session_s, fleet.block_s], axis=1).copy(),
        most=fleet.most_blocks,
        n_blocks=fleet.n_blocks,
        arrivals=float(fleet.arrivals_per_s),
        goal=goal,
        weights=(weights[0], weights[1]),
        limits=(limits[0], limits[1]),
        upper=upper,
        ints=np.zeros((7, width), dtype=np.int64),
        floats=np.zeros((3, width)),
    )


@inner
def fastest(genome, d, first, reached):
    """Seconds of the fastest chain through free slots, infinite for none, and blocks missed; its way in the scratch.

    The `reached` ends before `first` are taken over from the call before.
    """
    ints, dist = d.ints, d.floats[0]
    dist[0] = 0.0
    ints[ENDS, 0] = 0
    while ints[ENDS, reached - 1] >= first:
        reached -= 1
    for stop in range(first, d.n_blocks + 1):
        j = ints[HEAD, stop]
        lowest = faster = np.inf
        while j >= 0:
            low = max(genome[j], stop - ints[FREE, j])
            for k in range(reached - 1, -1, -1):
                before = ints[ENDS, k]
                if before < low:
                    break
                seconds = dist[before] + d.seconds[j, 0] + d.seconds[j, 1] * (stop - before)
                if seconds < faster:
                    lowest, faster = seconds, seconds * FASTER
                    ints[VIA, stop] = j
                    ints[BEFORE, stop] = before
            j = ints[NEXT, j]
        if lowest < np.inf:
            dist[stop] = lowest
            ints[ENDS, reached] = stop
            reached += 1
    if ints[ENDS, reached - 1] == d.n_blocks:
        return dist[d.n_blocks], 0, reached
    return np.inf, d.n_blocks - ints[ENDS, reached - 1], reached


@inner
def link(genome, d):
    """List the servers by the ends of their spans, all their slots free."""
    n, ints = d.slots.shape[0], d.ints
    for stop in range(d.n_blocks + 1):
        ints[HEAD, stop] = -1
    for j in range(n):
        size = genome[n + j]
        ints[FREE, j] = d.slots[j, size]
        if size > 0 and ints[FREE, j] > 0:
            ints[NEXT, j] = ints[HEAD, genome[j] + size]
            ints[HEAD, genome[j] + size] = j


@kernel
def priced_chain(genome, d, servers, stops):
    """Write the chain with the least sum of `d.seconds`, in block order; return (length, sum), length 0 for none."""
    link(genome, d)
    seconds, missed, _ = fastest(genome, d, 1, 1)
    if missed > 0:
        return 0, seconds
    count, at = 0, d.n_blocks
    while at > 0:
        count += 1
        at = d.ints[BEFORE, at]
    at = d.n_blocks
    for k in range(count - 1, -1, -1):
        servers[k] = d.ints[VIA, at]
        stops[k] = at
        at = d.ints[BEFORE, at]
    return count, seconds


@inner
def allocate(genome, d):
    """Greedy chains: seconds in row 1 of the floats, capacities in the ints. Return their number, and blocks missed."""
    ints, n = d.ints, d.slots.shape[0]
    link(genome, d)
    count, most, first, reached = 0, ints.shape[1], 1, 1
    while count < most:
        seconds, missed, reached = fastest(genome, d, first, reached)
        if missed > 0:
            return count, missed if count == 0 else 0
        capacity, at = 1 << 40, d.n_blocks
        while at > 0:
            capacity = min(capacity, ints[FREE, ints[VIA, at]] // (at - ints[BEFORE, at]))
            at = ints[BEFORE, at]
        at = d.n_blocks
        while at > 0:
            j = ints[VIA, at]
            ints[FREE, j] -= capacity * (at - ints[BEFORE, at])
            # Ways to ends before that of the first server that now reaches less far back stay as they are.
            first = at if ints[FREE, j] < genome[n + j] else first
            at = ints[BEFORE, at]
        d.floats[1, count] = seconds
        ints[CAPACITY, count] = capacity
        count += 1
    return count, 0


@inner
def lower_means(d, count, arrivals):
    """Lower bounds on the response time in s of the fastest 1 .. `count` chains, in row 2 of the floats."""
    weight, total, mean, death, n = 1.0, 1.0, 0.0, 0.0, 0
    for k in range(count):
        weight, total, mean, death, n = add_slots(d, k, arrivals, weight, total, mean, death, n)
        d.floats[2, k] = with_tail(weight, total, mean, n, arrivals, death)


@inner
def upper_mean(d, count, arrivals):
    """Upper bound on the response time in s of the fastest `count` chains: the slowest slots fill first."""
    weight, total, mean, death, n = 1.0, 1.0, 0.0, 0.0, 0
    for k in range(count - 1, -1, -1):
        weight, total, mean, death, n = add_slots(d, k, arrivals, weight, total, mean, death, n)
    return with_tail(weight, total, mean, n, arrivals, death)


@inner
def add_slots(d, k, arrivals, weight, total, mean, death, n):
    """Go on with a birth-death process through the slots of chain k, from the state n whose weight is `weight`.

    `total` and `mean` are the sums of the weights and of n times them, in one unit that changes when they get large.
    """
    for _ in range(d.ints[CAPACITY, k]):
        n += 1
        death += 1.0 / d.floats[1, k]
        weight *= arrivals / death
        total += weight
        mean += n * weight
        if total > 1e200:
            weight *= 1e-200
            total *= 1e-200
            mean *= 1e-200
    return weight, total, mean, death, n


@inner
def with_tail(weight, total, mean, n, arrivals, death):
    """Mean of a birth-death process whose states beyond n, of weight `weight`, leave at the rate `death` as well."""
    rho = arrivals / death
    if rho >= 1.0:
        return np.inf
    total += weight * rho / (1.0 - rho)
    mean += weight * (rho / (1.0 - rho) ** 2 + n * rho / (1.0 - rho))
    return mean / (total * arrivals)


@inner
def response_of(d, count, rate):
    """Return (seconds, violation) of allocated chains; what is too slow is scored at the most that it could serve.

    With the goal RESPONSE the slowest chains are left out where the others do better without them.
    """
    most = MOST_LOAD * rate
    arrivals, violation = min(d.arrivals, most), max(0.0, d.arrivals / most - 1.0)
    lower_means(d, count, arrivals)
    best = np.inf
    for k in range(count, 0, -1):
        # Fewer chains never have a lower bound that is less.
        if d.floats[2, k - 1] >= best or (k < count and (d.goal != RESPONSE or d.arrivals > MOST_LOAD * rate)):
            break
        best = min(best, (1.0 - d.upper) * d.floats[2, k - 1] + d.upper * upper_mean(d, k, arrivals))
        rate -= d.ints[CAPACITY, k - 1] / d.floats[1, k - 1]
    return best, violation


@inner
def cost_of(d, count, rate):
    """Return (cost, violation) of allocated chains, by the objective."""
    seconds = 1.0 / rate
    broken = max(0.0, seconds / d.limits[0] - 1.0)
    if d.goal == RATE:
        return d.weights[0] * seconds, broken
    response, too_slow = response_of(d, count, rate)
    broken += too_slow + max(0.0, response / d.limits[1] - 1.0)
    return d.weights[0] * seconds + d.weights[1] * response, broken


@inner
def rate_of(d, count):
    """Sessions/s of allocated chains."""
    rate = 0.0
    for k in range(count):
        rate += d.ints[CAPACITY, k] / d.floats[1, k]
    return rate


@inner
def worst(d):
    """Seconds that stand for both terms where there is no chain."""
    total = 0.0
    for j in range(d.slots.shape[0]):
        total += d.seconds[j, 0] + d.seconds[j, 1] * d.n_blocks
    return total


@kernel
def chain_cost(genome, d):
    """Return (cost, violation), by the objective; the response time is a mix of both bounds."""
    count, missed = allocate(genome, d)
    if count > 0:
        return cost_of(d, count, rate_of(d, count))
    return worst(d), 1.0 + missed / d.n_blocks


@kernel
def chain_terms(genomes, d, values):
    """Fill the terms (n, 2) of genomes (n, 2 J): seconds per session of the total rate, and response time in s."""
    for k in range(genomes.shape[0]):
        values[k, 0] = values[k, 1] = worst(d)
        count, _ = allocate(genomes[k], d)
        if count > 0:
            rate = rate_of(d, count)
            values[k, 0], values[k, 1] = 1.0 / rate, response_of(d, count, rate)[0]


@kernel
def chain_batch(genomes, d, costs, violations):
    """Fill costs and violations of genomes (n, 2 J)."""
    for k in range(genomes.shape[0]):
        costs[k], violations[k] = chain_cost(genomes[k], d)


def chain_scores(genomes: IntArray, data: ChainData) -> tuple[FloatArray, FloatArray]:
    """Costs and violations (n,) of genomes (n, 2 J)."""
    costs, broken = np.empty(len(genomes)), np.empty(len(genomes))
    chain_batch(np.ascontiguousarray(genomes), data, costs, broken)
    return costs, broken
