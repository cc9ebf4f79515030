"""The pattern program: which patterns, how often (Pyomo), relaxed and whole (HiGHS).

maximise  sum_p gain_p x_p   subject to   sum_p use_p[t] x_p <= nodes of kind t,   sum_p x_p <= most stages
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.replicated.tables import FloatArray, IntArray
from placement.search.highs import columns as matrix
from placement.search.highs import quiet_solver

from .pattern_columns import Column

MOST_NODES = 5_000  # of a tree of HiGHS: a limit that does not depend on the machine, as seconds do


@dataclass(frozen=True, slots=True)
class Relaxed:
    """Optimum of the relaxation.

    Attributes
    ----------
    value : float
        Blocks held.
    weights : array (P,)
        Of the columns.
    dual : array (T,)
        Blocks per node of each kind.
    per_stage : float
        Blocks per stage, where the number of stages is limited.
    """

    value: float
    weights: FloatArray
    dual: FloatArray
    per_stage: float


def build(columns: Sequence[Column], count: IntArray, most_stages: int | None, most_blocks: int | None) -> Any:
    """The Pyomo model; integer when the number of blocks is limited."""
    import pyomo.environ as pyo

    model = pyo.ConcreteModel()
    model.p = pyo.RangeSet(0, len(columns) - 1)
    whole = most_blocks is not None
    model.x = pyo.Var(model.p, domain=pyo.NonNegativeIntegers if whole else pyo.NonNegativeReals)
    blocks = sum(column.gain * model.x[p] for p, column in enumerate(columns))
    model.goal = pyo.Objective(expr=-blocks)
    model.nodes = pyo.ConstraintList()
    for t, nodes in enumerate(count.tolist()):
        users = [(column.use[t], model.x[p]) for p, column in enumerate(columns) if column.use[t] > 0]
        # Every kind has its row, so that rows and duals can be counted.
        model.nodes.add(sum((use * x for use, x in users), 0.0 * model.x[0]) <= float(nodes))
    if most_stages is not None:
        model.stages = pyo.Constraint(expr=sum(model.x[p] for p in model.p) <= float(most_stages))
    if most_blocks is not None:
        model.blocks = pyo.Constraint(expr=blocks <= float(most_blocks))
    return model


def relax(columns: Sequence[Column], count: IntArray, most_stages: int | None) -> Relaxed:
    """Solve the linear program."""
    solver, order = _solver(build(columns, count, most_stages, None))
    solver.run()
    solution = solver.getSolution()
    weights = np.zeros(len(columns))
    weights[order] = solution.col_value
    duals = np.maximum(0.0, -np.array(solution.row_dual))
    per_stage = float(duals[len(count)]) if most_stages is not None else 0.0
    return Relaxed(float(weights @ [column.gain for column in columns]), weights, duals[: len(count)], per_stage)


def choose(
    columns: Sequence[Column], count: IntArray, most_stages: int | None, blocks: int
) -> tuple[bool, list[Column] | None]:
    """Choose stages that hold exactly `blocks` blocks.

    Returns
    -------
    settled : bool
        False when the tree was cut before it was clear.
    stages : list of Column or None
        None when these columns cannot hold as many.
    """
    solver, order = _solver(build(columns, count, most_stages, blocks))
    for name, value in (("mip_max_nodes", MOST_NODES), ("mip_rel_gap", 0.0), ("mip_abs_gap", 0.5)):
        solver.setOptionValue(name, value)
    solver.run()
    info = solver.getInfo()
    if info.primal_solution_status == 2 and info.objective_function_value < -blocks + 0.5:
        times = np.zeros(len(columns), dtype=np.int64)
        times[order] = np.rint(solver.getSolution().col_value).astype(np.int64)
        used = np.array([column.use for column in columns]).T @ times
        if (used > count + 1e-9).any():
            return False, None
        return True, [column for column, number in zip(columns, times, strict=True) for _ in range(number)]
    # Blocks are whole: a bound below the next whole number settles it.
    return bool(info.mip_dual_bound > -blocks + 1e-6), None


def _solver(model: Any) -> tuple[Any, list[int]]:
    """A quiet HiGHS with the model, and the pattern of each of its columns."""
    made = matrix(model)
    solver = quiet_solver()
    solver.silent()
    for name, value in (("threads", 1), ("random_seed", 0)):
        solver.setOptionValue(name, value)
    solver.passModel(made.lp)
    return solver, [int(variable.index()) for variable in made.variables]
