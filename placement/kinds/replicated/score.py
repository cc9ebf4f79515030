"""`placement score` for replicated placements: the one given, beside the best one found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from placement.errors import InfeasibleError, InputError
from placement.plan.plan import PlacedSpan
from placement.quantities import percent

from ..pipeline.score import relative_gap
from .command import lines, solver_of
from .judge import judge
from .solve import replicated_objective, solve_replicated

if TYPE_CHECKING:
    from objectives.combine import Objective
    from placement.question.case import ReplicatedCase
    from placement.question.request import Request

    from .plan import ReplicatedPlan


def question(
    file: Path, request: Request | None, objective: str | None, *, partial: bool
) -> tuple[ReplicatedCase, Objective]:
    """Case and objective of a cluster file, or of a case in Helix's format where there is no request."""
    from placement.readers.helix import load_helix

    from .case import case_of, objective_of

    if request is None:
        return load_helix(file, partial=partial), replicated_objective(objective or "served")
    return case_of(request, partial=partial), objective_of(request, objective)


def score_placement(
    case: ReplicatedCase, objective: Objective, placement: Sequence[PlacedSpan], *, solver: str, seed: int,
    time_limit: float, json: bool,
) -> int:  # fmt: skip
    """Judge a placement, search for a better one, show both; return the exit code."""
    from placement.commands.output import INFEASIBLE, INTERRUPTED, SOLVED, console, print_json
    from placement.report.progress import progress_bar

    if objective.pareto:
        raise InputError("a placement is scored by one objective, not by a front", "objective")
    yours, broken = judge(case, objective, placement)
    with progress_bar(objective, time_limit, hidden=json) as move:
        best = solve_replicated(
            case, objective=objective, solver=solver_of(solver), time_limit=time_limit, seed=seed,
            start=None if broken else yours, progress=move,
        )  # fmt: skip
    if best.status == "infeasible" and best.stopped_by != "interrupted":
        raise InfeasibleError([*(f"your placement: {line}" for line in broken), "no placement was found that fits"])
    gap = None if broken else relative_gap(yours.objective, best.objective)
    if json:
        print_json(
            {"status": "infeasible" if broken else best.status, "gap_to_best": gap, "broken": list(broken),
             "yours": yours.to_dict(), "best": best.to_dict(), "version": yours.version}
        )  # fmt: skip
    else:
        console().print("\n".join(report(yours, best, broken, gap)), markup=False, highlight=False)
    return INTERRUPTED if best.stopped_by == "interrupted" else INFEASIBLE if broken else SOLVED


def report(yours: ReplicatedPlan, best: ReplicatedPlan, broken: Sequence[str], gap: float | None) -> list[str]:
    """Both plans for people, and the verdict."""
    text = ["your placement", *lines(yours), *(f"breaks a rule: {line}" for line in broken)]
    if gap == 0:
        return [*text, "", "it is proven optimal" if best.objective.proven_optimal else "nothing better was found"]
    text += ["", "best found", *lines(best)]
    return text if gap is None else [*text, "", f"your placement is {percent(gap)} worse than the best found"]
