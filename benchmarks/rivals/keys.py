"""General-purpose optimizers on real-valued vectors.

The plain encoding is order keys and shares; `PymooKeys` is given our decoder instead, which
splits a node order optimally: the strongest form of the rival.

J. Blank, K. Deb, "pymoo: Multi-Objective Optimization in Python", IEEE Access 8, 2020, doi:10.1109/ACCESS.2020.2990567.
P. Virtanen et al., "SciPy 1.0", Nature Methods 17, 2020, doi:10.1038/s41592-019-0686-2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from placement.search.solver import Proposal

from .adapters import from_shares, penalised, pipeline_of, threaded

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class PymooGA:
    """Genetic algorithm with pymoo's defaults, ask and tell."""

    size: int = 100
    decoder: bool = False

    def search(self, problem: Any, rng: np.random.Generator, start: Any) -> Iterator[Proposal]:
        """Yield the best of every generation."""
        from pymoo.algorithms.soo.nonconvex.ga import GA
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination

        problem = pipeline_of(problem)
        n = problem.tables.n_nodes
        decode = problem.from_keys if self.decoder else partial(from_shares, problem)
        space = Problem(n_var=n if self.decoder else 2 * n, n_obj=1, xl=0.0, xu=1.25 if self.decoder else 1.0)
        algorithm = GA(pop_size=self.size)
        algorithm.setup(space, seed=int(rng.integers(LARGEST_SEED)), termination=NoTermination(), verbose=False)
        while True:
            people = algorithm.ask()
            rows = decode(people.get("X"))
            values = penalised(problem, rows)
            people.set("F", values[:, None])
            for person in people:
                person.evaluated.add("F")
            algorithm.tell(infills=people)
            yield Proposal(rows[[int(values.argmin())]], len(rows))


@dataclass(frozen=True)
class PymooKeys(PymooGA):
    """The same on random keys with our decoder."""

    decoder: bool = True


@dataclass(frozen=True)
class PymooNSGA2:
    """NSGA-II with pymoo's defaults on the plain encoding; violations are its constraint, so feasible plans come first.

    With several objectives every placement of a generation is yielded, for the front.
    """

    size: int = 100

    def search(self, problem: Any, rng: np.random.Generator, start: Any) -> Iterator[Proposal]:
        """Yield the best of every generation, or all of it."""
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination

        problem = pipeline_of(problem)
        n, front = problem.tables.n_nodes, problem.objective.pareto
        columns = [problem.objective.terms.names.index(name) for name in front]
        space = Problem(n_var=2 * n, n_obj=max(1, len(front)), n_ieq_constr=1, xl=0.0, xu=1.0)
        algorithm = NSGA2(pop_size=self.size)
        algorithm.setup(space, seed=int(rng.integers(LARGEST_SEED)), termination=NoTermination(), verbose=False)
        while True:
            people = algorithm.ask()
            rows = from_shares(problem, people.get("X"))
            values, broken = problem.terms(rows) if front else problem.evaluate(rows)
            people.set("F", values[:, columns] if front else values[:, None])
            people.set("G", broken[:, None])
            for person in people:
                person.evaluated.update("FG")
            algorithm.tell(infills=people)
            best = np.lexsort((values if not front else values[:, columns[0]], broken))
            yield Proposal(rows if front else rows[best[:1]], len(rows))


@dataclass(frozen=True)
class DifferentialEvolution:
    """`scipy.optimize.differential_evolution` on the plain encoding, vectorised, without its final polish."""

    def search(self, problem: Any, rng: np.random.Generator, start: Any) -> Iterator[Proposal]:
        """Yield the best of every generation."""
        from scipy.optimize import differential_evolution

        problem = pipeline_of(problem)
        bounds = [(0.0, 1.0)] * (2 * problem.tables.n_nodes)

        def body(score: Any) -> None:
            while True:
                differential_evolution(
                    lambda x: score(x.T),
                    bounds,
                    seed=int(rng.integers(LARGEST_SEED)),
                    vectorized=True,
                    updating="deferred",
                    polish=False,
                    maxiter=10_000,
                    tol=1e-8,
                )

        yield from threaded(body, problem, partial(from_shares, problem))


@dataclass(frozen=True)
class DualAnnealing:
    """`scipy.optimize.dual_annealing` on the plain encoding, without its gradient-based local search."""

    def search(self, problem: Any, rng: np.random.Generator, start: Any) -> Iterator[Proposal]:
        """Yield every placement that it scores."""
        from scipy.optimize import dual_annealing

        problem = pipeline_of(problem)
        bounds = [(0.0, 1.0)] * (2 * problem.tables.n_nodes)

        def body(score: Any) -> None:
            while True:
                dual_annealing(
                    lambda x: float(score(x)[0]), bounds, seed=int(rng.integers(LARGEST_SEED)), no_local_search=True
                )

        yield from threaded(body, problem, partial(from_shares, problem))
