"""Served throughput of replicated placements: estimate against simulation, gains over today's swarms, solvers.

python -m benchmarks.quality.served ranks   [--instances DIR] [--placements 100] [--requests 300] [--edges exact]
python -m benchmarks.quality.served gains   [--instances DIR] [--seeds 3] [--seconds 10]
python -m benchmarks.quality.served solvers [--instances DIR] [--seeds 3] [--seconds 5]
python -m benchmarks.quality.served seeds   [--instances DIR] [--seeds 3] [--seconds 10] [--invented 6]

``ranks``: Spearman's correlation of the estimate with the closed-loop simulation over varied placements, and that of
two simulations that differ in their seed alone: noise between them bounds what any estimate can reach. ``gains``: plans
made for served throughput and for flow, simulated, against the better of Petals' and equal stages. ``solvers``: median
value of every solver over seeds, flow and served, after equal seconds.
``seeds``: what each seed finds, its stages in the order that plans have, by the estimate and in the simulation, and how
far apart. Without a folder of cases clusters are invented, two of three over several regions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from objectives.combine import REPLICATED
from objectives.replicated.node_kinds import regions
from placement.kinds.replicated.orders import better_order
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.kinds.replicated.solvers.portfolio import ReplicatedPortfolio
from placement.kinds.replicated.solvers.yardsticks import EqualStages, Petals
from placement.question.case import ReplicatedCase
from placement.question.objective import objective_of
from placement.registry import make_solver
from placement.search.kernels.loops import vary
from placement.search.loop import run
from placement.search.solver import IntArray
from placement.search.stop import time_limit

from .replicated import cases_of, simulated

MOST_WALKS = 1_000
SOLVERS = ("auto", "patterns", "annealing", "genetic", "tabu", "pso", "nsga2")


def varied(problem: ReplicatedProblem, count: int) -> IntArray:
    """So many placements that serve: constructive, random, and both a few moves away.

    No two have the same spans up to their order and the exchange of like nodes: those differ by little more than noise.
    """
    rng = np.random.default_rng(0)
    found: dict[object, IntArray] = {}
    pool = np.concatenate([problem.starts(), problem.random(rng, count)])
    for _ in range(MOST_WALKS):
        if len(found) >= count:
            break
        broken = problem.evaluate(pool)[1]
        for genome, bad in zip(pool, broken, strict=True):
            if bad == 0:
                found.setdefault(shape(problem, genome), genome.copy())
        moved = np.empty_like(pool)
        vary(pool, moved, problem.data, rng, 0.5, int(rng.integers(1, 6)))
        pool = moved
    kept = list(found.values())
    return np.array([kept[k] for k in sorted(rng.permutation(len(kept))[:count])])


def shape(problem: ReplicatedProblem, genome: IntArray) -> object:
    """Sizes and kinds of nodes of the spans, those of equal start and stop together."""
    together: dict[tuple[int, int], list[int]] = {}
    for span in problem.decode(genome):
        together.setdefault((span.start, span.stop), []).append(int(problem.data.kind[span.node]))
    return tuple(sorted((stop - start, *sorted(kinds)) for (start, stop), kinds in together.items()))


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Correlation of ranks."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def ranks(case: ReplicatedCase, options: argparse.Namespace) -> None:
    """Print correlation and ceiling."""
    problem = ReplicatedProblem(case.tables, objective_of("served", REPLICATED))
    genomes = varied(problem, options.placements)
    estimate = 1.0 / problem.evaluate(genomes)[0]
    one, two = (np.array([simulated(problem, genome, seed, options.requests) for genome in genomes]) for seed in (1, 2))
    print(
        f"{case.name}: {len(genomes)} placements, estimate to simulation {spearman(list(estimate), list(one)):.3f} and "
        f"{spearman(list(estimate), list(two)):.3f}, to their mean {spearman(list(estimate), list(one + two)):.3f}; "
        f"simulation to simulation {spearman(list(one), list(two)):.3f}; estimate / simulated "
        f"{np.median(estimate / np.maximum(one, 1e-9)):.2f}; served {one.min():.0f} to {one.max():.0f} tokens/s",
        flush=True,
    )


def gains(case: ReplicatedCase, options: argparse.Namespace) -> None:
    """Print simulated tokens/s of plans for served and for flow, and the gain over the better yardstick."""
    served = ReplicatedProblem(case.tables, objective_of("served", REPLICATED))
    # Petals' spans do not line up: they are scored under the rule that they are made for.
    loose = ReplicatedProblem(replace(case.tables, partial=True), served.objective)
    starts = served.starts()
    none = np.random.default_rng(0)
    petals = simulated(loose, next(Petals().search(loose, none, starts)).genomes[0], 1, options.requests)
    equal = simulated(served, next(EqualStages().search(served, none, starts)).genomes[0], 1, options.requests)
    for seed in range(options.seeds):
        values = {}
        for name in ("served", "flow"):
            problem = ReplicatedProblem(case.tables, objective_of(name, REPLICATED))
            outcome = run(
                problem,
                ReplicatedPortfolio(),
                rng=np.random.default_rng(seed),
                start=problem.starts(),
                stop=time_limit(options.seconds),
                prove=name == "flow",
            )
            values[name] = simulated(served, served.encode(outcome.spans), 1, options.requests)
        better = max(petals, equal)
        print(
            f"{case.name} seed {seed}: Petals {petals:.1f}, equal stages {equal:.1f}, for flow {values['flow']:.1f}, "
            f"for served {values['served']:.1f}: {values['served'] / better - 1:+.1%} over the better",
            flush=True,
        )


def solvers(case: ReplicatedCase, options: argparse.Namespace) -> None:
    """Print rows of a table: median value of each solver after equal seconds."""
    for name in ("flow", "served"):
        problem = ReplicatedProblem(case.tables, objective_of(name, REPLICATED))
        starts, cells = problem.starts(), []
        for solver in SOLVERS:
            if solver == "patterns" and name != "flow":
                cells.append("-")
                continue
            found = [
                run(
                    problem,
                    make_solver(solver),
                    rng=np.random.default_rng(seed),
                    start=starts,
                    stop=time_limit(options.seconds),
                ).score.cost
                for seed in range(options.seeds)
            ]
            cells.append(f"{problem.objective.value(float(np.median(found))):.1f}")
        best = problem.objective.value(problem.score(problem.decode(starts[0])).cost)
        print(f"| {case.name} | {name} | {best:.1f} | {' | '.join(cells)} |", flush=True)


def seeds(case: ReplicatedCase, options: argparse.Namespace) -> None:
    """Print rows of a table: what each seed finds by the estimate, and what that serves in the simulation."""
    problem = ReplicatedProblem(case.tables, objective_of("served", REPLICATED))
    starts = problem.starts()
    run(problem, ReplicatedPortfolio(), rng=np.random.default_rng(0), start=starts, stop=time_limit(0.1))  # compiles
    rows = []
    for seed in range(options.seeds):
        rng, stop = np.random.default_rng(seed), time_limit(options.seconds)
        spans = run(problem, ReplicatedPortfolio(), rng=rng, start=starts, stop=stop).spans
        better = better_order(problem, spans, np.random.default_rng(seed))
        genome = problem.encode(spans if better is None else better.spans)
        served = simulated(problem, genome, 1, options.requests)
        rows.append((problem.objective.value(float(problem.evaluate(genome[None])[0][0])), served))
    for name, values in zip(("estimate", "simulated"), np.array(rows).T, strict=True):
        each = ", ".join(f"{value:.1f}" for value in values)
        apart = values.max() / values.min() - 1
        areas = int(regions(case.tables).max(initial=0)) + 1
        print(
            f"| {case.name} | {case.tables.n_nodes} | {areas} | {name} | {each} | {values.mean():.1f} | {apart:.1%} |",
            flush=True,
        )


def main() -> None:
    """Parse, read or invent, measure."""
    parts: dict[str, Callable[[ReplicatedCase, argparse.Namespace], None]] = {
        "ranks": ranks,
        "gains": gains,
        "solvers": solvers,
        "seeds": seeds,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=tuple(parts))
    parser.add_argument("--instances", type=Path, help="folder of cases; without it clusters are invented")
    parser.add_argument("--invented", type=int, default=3, help="how many clusters to invent")
    parser.add_argument("--edges", choices=("exact", "partial"), default="exact")
    parser.add_argument("--placements", type=int, default=100)
    parser.add_argument("--requests", type=int, default=300, help="that a simulation serves")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    partial = options.edges == "partial"
    cases = cases_of(options.instances, options.invented, partial=partial)
    if options.part == "solvers":
        print(f"| case | objective | best start | {' | '.join(SOLVERS)} |")
        print("| --- | --- |" + " --- |" * (len(SOLVERS) + 1))
    if options.part == "seeds":
        print("| case | nodes | regions | tokens/s | each seed | mean | best over worst |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in cases:
        parts[options.part](case, options)


if __name__ == "__main__":
    main()
