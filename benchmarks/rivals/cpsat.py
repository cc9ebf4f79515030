"""OR-tools CP-SAT as an exact solver and anytime heuristic; its model is in `cpsat_model.py`.

One worker, as every other solver here has one core; without our starts and our bounds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from placement.search.solver import NotApplicableError, Proposal

from .adapters import Found, Stopped, pipeline_of, streamed
from .cpsat_model import UNITS, PipelineModel

LARGEST_SEED = 2**31 - 1
MARGIN = 1e-7  # taken off a bound, for rounding


@dataclass(frozen=True)
class CpSat:
    """Hyper-parameters.

    Attributes
    ----------
    most_arcs : int
        Largest model: pairs of places times blocks.
    """

    most_arcs: int = 600_000

    def search(self, problem: Any, rng: np.random.Generator, start: Any) -> Iterator[Proposal]:
        """Yield every solution, and bounds."""
        problem = pipeline_of(problem)
        if not problem.compiled or problem.objective.pareto:
            raise NotApplicableError("this rival has a model of single built-in objectives only")
        if {**problem.objective.weights, **problem.objective.limits}.get("throughput"):
            raise NotApplicableError("this rival has no model of the throughput of served streams")
        arcs = problem.tables.n_nodes**2 * problem.tables.n_blocks
        if arcs > self.most_arcs:
            raise NotApplicableError(f"the model would have {arcs} pairs of nodes times blocks")
        seed = int(rng.integers(LARGEST_SEED))
        yield from streamed(lambda found, ended: _solve(problem, seed, found, ended), problem.genome_size)


def _solve(problem: Any, seed: int, found: Found, ended: threading.Event) -> None:
    from ortools.sat.python import cp_model

    # The size of a cost, for the choice of units only: that of the nodes in file order.
    order = np.arange(problem.n_keys)[None, :] / problem.n_keys
    scale = UNITS / float(problem.evaluate(problem.from_keys(order))[0][0])
    model = PipelineModel(problem, scale)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.cp_model_presolve = False  # that of ortools 9.15 loses solutions where the bottleneck is limited
    solver.parameters.random_seed = seed
    nothing = np.empty((0, problem.genome_size), dtype=np.int64)

    def tell(proposal: Proposal) -> None:
        """Called by the solver, which must not see an exception of ours."""
        with suppress(Stopped):
            found(proposal)

    class Solutions(cp_model.CpSolverSolutionCallback):
        def on_solution_callback(self) -> None:
            with suppress(ValueError):  # more runs than a genome holds
                tell(Proposal(problem.encode(model.spans(self.boolean_value))[None, :], 1))

    def bounded(bound: float) -> None:
        if model.whole and bound > 0:
            tell(Proposal(nothing, 0, bound / scale * (1 - MARGIN)))

    def watch() -> None:
        ended.wait()
        solver.stop_search()

    solver.best_bound_callback = bounded
    threading.Thread(target=watch, daemon=True).start()
    if solver.solve(model.model, Solutions()) == cp_model.OPTIMAL:
        bounded(solver.best_objective_bound)
    ended.set()
