"""Search loops over any encoding, plain Python against `encoding.py`; numba compiles one copy for each type of data.

A custom objective runs their uncompiled sources, so everything that they call must be callable from Python too.
"""

from __future__ import annotations

import math

import numpy as np

from objectives.jit import copy

from . import kernel
from .encoding import crossover, evaluate, from_keys, neighbour


@kernel
def better(cost, violation, than_cost, than_violation):
    """Less violation first, then less cost."""
    return violation < than_violation or (violation == than_violation and cost < than_cost)


@kernel
def evaluate_all(genomes, data, costs, violations):
    """Fill costs and violations of genomes (n, G)."""
    for k in range(genomes.shape[0]):
        costs[k], violations[k] = evaluate(genomes[k], data)


@kernel
def anneal(genome, best, data, rng, steps, hot, cold, penalty):
    """Metropolis walk of `steps` moves from `genome` (changed in place), temperature falling from `hot` to `cold`.

    Temperatures are relative to the cost of the start. Violation enters the walk as ``cost * (1 + penalty *
    violation)``; `best` (changed in place) follows violation first. Returns the penalty, which rises while the walk is
    infeasible and falls while it is feasible.
    """
    trial = np.empty_like(genome)
    cost, violation = evaluate(genome, data)
    best_cost, best_violation = evaluate(best, data)
    scale = abs(cost) + 1e-300
    cooling = (cold / hot) ** (1.0 / max(1, steps))
    temperature = hot
    for _ in range(steps):
        neighbour(genome, data, rng, trial)
        new_cost, new_violation = evaluate(trial, data)
        change = new_cost * (1.0 + penalty * new_violation) - cost * (1.0 + penalty * violation)
        if change <= 0.0 or rng.random() < math.exp(-change / (temperature * scale)):
            copy(trial, genome)
            cost, violation = new_cost, new_violation
            if better(cost, violation, best_cost, best_violation):
                copy(genome, best)
                best_cost, best_violation = cost, violation
        penalty = min(penalty * 1.0005, 10000.0) if violation > 0.0 else max(penalty * 0.9998, 0.5)
        temperature *= cooling
    return penalty


@kernel
def temper(states, costs, violations, best, data, rng, sweeps, steps, temperatures, penalty):
    """Replica exchange: every state walks `steps` moves at its temperature, then neighbours may change places.

    `states` (R, G), the coldest first, their `costs` and `violations` (R,) and `best` are changed in place;
    `temperatures` (R,) are in units of cost. Violation enters as ``cost * (1 + penalty * violation)``; `best` follows
    violation first. Returns the penalty, which rises while the coldest state is infeasible and falls while it is not.
    """
    trial = np.empty_like(best)
    best_cost, best_violation = evaluate(best, data)
    for sweep in range(sweeps):
        for r in range(states.shape[0]):
            genome, cost, violation = states[r], costs[r], violations[r]
            for _ in range(steps):
                neighbour(genome, data, rng, trial)
                new_cost, new_violation = evaluate(trial, data)
                change = new_cost * (1.0 + penalty * new_violation) - cost * (1.0 + penalty * violation)
                if change <= 0.0 or rng.random() < math.exp(-change / temperatures[r]):
                    copy(trial, genome)
                    cost, violation = new_cost, new_violation
                    if better(cost, violation, best_cost, best_violation):
                        copy(genome, best)
                        best_cost, best_violation = cost, violation
            costs[r], violations[r] = cost, violation
        for r in range(sweep % 2, states.shape[0] - 1, 2):
            gain = costs[r] * (1.0 + penalty * violations[r]) - costs[r + 1] * (1.0 + penalty * violations[r + 1])
            gain *= 1.0 / temperatures[r] - 1.0 / temperatures[r + 1]
            if gain >= 0.0 or rng.random() < math.exp(gain):
                copy(states[r], trial)
                copy(states[r + 1], states[r])
                copy(trial, states[r + 1])
                costs[r], costs[r + 1] = costs[r + 1], costs[r]
                violations[r], violations[r + 1] = violations[r + 1], violations[r]
        penalty = min(penalty * 1.05, 10000.0) if violations[0] > 0.0 else max(penalty * 0.98, 0.5)
    return penalty


@kernel
def signature(genome):
    """Hash of a genome (FNV-1a), never negative."""
    value = np.uint64(14695981039346656037)
    for item in genome:
        value = (value ^ np.uint64(item)) * np.uint64(1099511628211)
    return np.int64(value >> np.uint64(1))


@kernel
def tabu_walk(genome, best, data, rng, steps, sample, recent, clock, penalty):
    """`steps` moves to the best of `sample` neighbours whose signature is not in the table `recent` (int64, (n,)).

    `recent` is a ring of the last signatures, `clock` its write position. `genome`, `best` and `recent` are changed in
    place. A neighbour better than `best` is taken even when it is tabu. Returns (clock, penalty).
    """
    trial = np.empty_like(genome)
    chosen = np.empty_like(genome)
    best_cost, best_violation = evaluate(best, data)
    for _ in range(steps):
        lowest = np.inf
        chosen_cost, chosen_violation = np.inf, np.inf
        for _ in range(sample):
            neighbour(genome, data, rng, trial)
            cost, violation = evaluate(trial, data)
            key = cost * (1.0 + penalty * violation)
            if key < lowest:
                mark = signature(trial)
                known = False
                for item in recent:
                    known |= item == mark
                if known and not better(cost, violation, best_cost, best_violation):
                    continue
                lowest = key
                copy(trial, chosen)
                chosen_cost, chosen_violation = cost, violation
        if lowest == np.inf:
            continue
        copy(chosen, genome)
        recent[clock % recent.shape[0]] = signature(genome)
        clock += 1
        penalty = min(penalty * 1.01, 1e4) if chosen_violation > 0.0 else max(penalty * 0.995, 0.5)
        if better(chosen_cost, chosen_violation, best_cost, best_violation):
            copy(genome, best)
            best_cost, best_violation = chosen_cost, chosen_violation
    return clock, penalty


@kernel
def vary(parents, children, data, rng, crossing, moves):
    """Children of consecutive pairs of parents: crossover with probability `crossing`, then 0 .. `moves` moves."""
    n = parents.shape[0]
    trial = np.empty_like(parents[0])
    for k in range(n):
        mate = k + 1 if k % 2 == 0 and k + 1 < n else k - 1
        if mate >= 0 and rng.random() < crossing:
            crossover(parents[k], parents[mate], data, rng, children[k])
            times = int(rng.random() * (moves + 1))
        else:
            copy(parents[k], children[k])
            times = 1 + int(rng.random() * moves)
        for _ in range(times):
            neighbour(children[k], data, rng, trial)
            copy(trial, children[k])


@kernel
def descend(genome, data, rng, tries):
    """Take improving moves until `tries` in a row fail; returns (cost, violation, evaluations)."""
    trial = np.empty_like(genome)
    cost, violation = evaluate(genome, data)
    failed, spent = 0, 1
    while failed < tries:
        neighbour(genome, data, rng, trial)
        new_cost, new_violation = evaluate(trial, data)
        spent += 1
        failed += 1
        if better(new_cost, new_violation, cost, violation):
            copy(trial, genome)
            cost, violation, failed = new_cost, new_violation, 0
    return cost, violation, spent


@kernel
def decode_all(keys, data, genomes, costs, violations):
    """Decode rows of random keys and fill genomes, costs and violations."""
    for k in range(keys.shape[0]):
        from_keys(keys[k], data, genomes[k])
        costs[k], violations[k] = evaluate(genomes[k], data)


@kernel
def wander(genome, data, rng, moves):
    """Make `moves` random moves in place."""
    trial = np.empty_like(genome)
    for _ in range(moves):
        neighbour(genome, data, rng, trial)
        copy(trial, genome)
