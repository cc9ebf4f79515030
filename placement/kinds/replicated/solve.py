"""`solve_replicated()`: wires a case, the problem, a solver and the loop together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from objectives.combine import REPLICATED, Objective
from objectives.spans import Span
from placement.errors import InputError, nearest
from placement.plan.plan import Plan
from placement.question.case import ReplicatedCase

from .judge import with_running
from .plan import ReplicatedPlan, plan_of
from .problem import ReplicatedProblem

if TYPE_CHECKING:
    from placement.search.solver import Solver
    from placement.search.stop import Progress, Stop


def replicated_objective(
    spec: str | Sequence[str] | Mapping[str, float] | Objective, limits: Mapping[str, float] | None = None
) -> Objective:
    """Build an objective over the terms of replicated placements; unknown names are errors."""
    if isinstance(spec, Objective):
        return Objective.of(spec, limits)
    words = [part.strip() for part in spec.split(",")] if isinstance(spec, str) else spec
    known = (*REPLICATED.names, *REPLICATED.aliases)
    for name in words:
        if name not in known:
            raise InputError(f"unknown objective '{name}'{nearest(name, known)} (known: {', '.join(known)})")
    bounds: dict[str, float] = {}
    for name, value in (limits or {}).items():
        if name not in REPLICATED.limits:
            raise InputError(f"unknown limit '{name}'{nearest(name, REPLICATED.limits)}", "limits")
        bounds[REPLICATED.limits[name]] = float(value)
    try:
        return Objective.of(words, bounds, REPLICATED)
    except ValueError as error:
        raise InputError(str(error), "objective") from None


def solve_replicated(
    case: ReplicatedCase,
    *,
    objective: str | Sequence[str] | Mapping[str, float] | Objective = "served",
    limits: Mapping[str, float] | None = None,
    solver: Solver | None = None,
    time_limit: float = 10.0,
    seed: int = 0,
    stop: Stop | None = None,
    start: Plan | ReplicatedPlan | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ReplicatedPlan:
    """Find the best replicated placement of a case.

    Parameters
    ----------
    objective : str, list, mapping or Objective
        "served" (default), "flow", or any other term of `combine.REPLICATED`.
    solver : Solver, optional
        Default: `placement.kinds.replicated.solvers.portfolio.Swarm`, the portfolio.
    time_limit : float
        Seconds of search.
    start : Plan or ReplicatedPlan, optional
        The placement that runs now: the search begins from it, and moved bytes count against it.
    """
    from placement.search.loop import run_asked
    from placement.search.stop import ensure_seconds

    from .solvers.portfolio import Swarm

    ensure_seconds(time_limit)
    running: tuple[Span, ...] = ()
    if start is not None:
        case, running = with_running(case, start)
    problem = ReplicatedProblem(case.tables, replicated_objective(objective, limits))
    name = type(solver).__name__.lower() if solver else "auto"
    starts = problem.starts()
    if running:
        starts = np.concatenate([problem.encode(running)[None, :], starts])
    outcome = run_asked(
        problem, solver or Swarm(), name, seed=seed, start=starts, seconds=time_limit, stop=stop, show=progress
    )
    return plan_of(case, problem, outcome, solver=name, seed=seed)
