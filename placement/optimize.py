"""`optimize()`: wires question, kind, problem, solver and loop together, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .contest import Glances, compete
from .contest import Result as Result
from .contest import Search as Search
from .errors import InfeasibleError, InputError, NotFoundError
from .kinds.asked import KEYS, Asked, ask
from .kinds.choices import chosen
from .kinds.copies import with_copies
from .kinds.goodput import with_goodput
from .plan.picture import SearchPoint, thinned
from .plan.plan import PlacedSpan, Plan
from .registry import is_yardstick, make_solver

if TYPE_CHECKING:
    from .question.workload import Workload
    from .search.solver import Solver
    from .search.stop import Progress, Stop


def optimize(
    model: Any,
    cluster: str | Path | Mapping[str, Any] | Any,
    *,
    workload: Workload | Mapping[str, Any] | None = None,
    objective: str | Sequence[str] | Mapping[str, float] | Callable[[Any], float] | Any | None = None,
    limits: Mapping[str, float] | None = None,
    solver: str | Solver = "auto",
    time_limit: float = 10.0,
    seed: int = 0,
    start: Plan | None = None,
    stop: Stop | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Find the best plan of a model on a cluster: a pipeline, replicated placements, sessions or routes.

    Parameters
    ----------
    model : str, Path, Model, torch.nn.Module or None
        Preset name, path of a ``config.json``, checkpoint folder or ``.gguf``, a `Model`, or a module (the meta device
        is enough). None takes the model that the file names; fleets and swarms have none.
    cluster : path, mapping, Cluster, networkx graph, Request, Fleet, Swarm or ReplicatedCase
        A cluster file, a case in Helix's format, a fleet or a swarm, or what stands for one in Python.
    workload : Workload or mapping, optional
    objective : str, list, mapping, Objective or callable, optional
        A name ("goodput" needs the workload's rate and a limit on TTFT or time per token); several names for a Pareto
        front; weights by name; or, for pipelines, a plain function of `objectives.pipeline.terms.Terms` to minimise.
        Default: the file's, else the kind's own.
    limits : mapping, optional
        Largest value by name: ``{"ttft": 2.0}`` in s, ``time_per_token`` in s, ``price`` in $/h, ...
    solver : str or Solver
    time_limit : float
        Seconds of search.
    seed : int
        Same seed, same trace (up to where the time limit cuts it).
    start : Plan, optional
        A running plan to begin from; replicated placements count moved bytes against it.
    stop : callable, optional
        Extra stopping criterion, see `placement.search.stop`.
    progress : callable, optional
        Called with `Progress` a few times a second.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        Something in the model, cluster or objective is wrong.
    InfeasibleError
        It is proven that no plan exists; the reasons say what is missing, in bytes or seconds.
    NotFoundError
        No plan was found in the time there was; the best attempt and what it lacks come with it.
    """
    search = Search(solver, time_limit, seed, start, stop, progress)
    return answer(ask(model, cluster, workload=workload, objective=objective, limits=limits), search)


def judge(
    model: Any,
    cluster: Any,
    placement: Sequence[PlacedSpan],
    *,
    workload: Workload | Mapping[str, Any] | None = None,
    objective: Any = None,
    limits: Mapping[str, float] | None = None,
) -> tuple[Plan, tuple[str, ...]]:
    """Predict the figures of a layout that somebody has.

    Parameters
    ----------
    model, cluster, workload, objective, limits
        As for `optimize`.
    placement : sequence of PlacedSpan
        Spans by node name.

    Returns
    -------
    plan : Plan
        With status "infeasible" where a rule is broken.
    broken : tuple of str
        The rules that it breaks, in sentences with bytes and seconds.

    Raises
    ------
    InputError
        A node is unknown, or a block has no holder.
    """
    return ask(model, cluster, workload=workload, objective=objective, limits=limits).judge(placement)


def answer(asked: Asked, search: Search) -> Result:
    """Search for the best answer to a question that was read already.

    A question may stand for several, of which the best answer counts. What is wrong with it is told with its file.
    """
    try:
        return _answer(asked, search)
    except InputError as error:
        raise error.in_file(asked.source, KEYS) from None


def _answer(asked: Asked, search: Search) -> Result:
    glances = Glances(search)

    def glanced(part: Asked) -> Plan | None:
        return glances.at(part.tasks(), make_solver("auto", part.kind.name))

    if asked.wish.goodput is not None:
        return _simulated(asked, search, glanced)
    asked = chosen(asked, glanced)
    if getattr(asked.question, "copies", 1) != 1:
        return _copied(asked, search)
    tasks = asked.tasks(search.start)
    solver = make_solver(search.solver, asked.kind.name) if isinstance(search.solver, str) else search.solver
    if is_yardstick(search.solver):  # they show what the splits of today's tools give, on the nodes as they are
        tasks = tuple(task for task in tasks if not task.wider) or tasks
    best, answers = compete(tasks, solver, search)
    if search.simplest and not is_yardstick(search.solver):  # a yardstick's split is wanted as it is
        best = replace(best, plan=asked.settled(best.plan, answers, search.start))
    return best if best.plan.status == "infeasible" else replace(best, plan=drawn(asked, best))


def _simulated(asked: Asked, search: Search, glanced: Callable[[Asked], Plan | None]) -> Result:
    """The answer to one of several objectives that serves most within the limits."""
    last: list[Result] = []

    def solve(part: Asked, seconds: float) -> tuple[Plan, ...]:
        last.append(answer(part, replace(search, seconds=seconds, progress=None)))
        return (last[-1].plan, *last[-1].pareto)

    plan = with_goodput(asked, search.seconds, search.seed, solve, glanced)
    return replace(last[-1], plan=plan, pareto=(), trace=())


def _copied(asked: Asked, search: Search) -> Result:
    """Pipelines side by side, each the answer to a question of its own."""
    last: list[Result] = []

    def solve(part: Asked, seconds: float) -> Plan | None:
        try:
            last.append(answer(part, replace(search, seconds=seconds, start=None)))
        except (InfeasibleError, NotFoundError):
            return None
        return last[-1].plan

    plan = with_copies(asked, search.seconds, solve)
    return replace(last[-1], plan=plan, pareto=())


def drawn(asked: Asked, result: Result) -> Plan:
    """The plan with what its page draws, the curve of the search too."""
    plan, objective = asked.pictured(result.plan), asked.wish.objective
    if plan.picture is None:
        return plan
    points = [
        SearchPoint(
            point.seconds,
            objective.value(point.cost) if point.violation == 0 and isfinite(point.cost) else None,
            objective.value(point.bound) if isfinite(point.bound) and point.bound > 0 else None,
        )
        for point in result.trace
    ]
    return replace(plan, picture=replace(plan.picture, search=thinned(points)))
