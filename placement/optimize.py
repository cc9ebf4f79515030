"""`optimize()`: wires question, kind, problem, solver and loop together, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.clock import clock

from .contest import Glances, compete
from .contest import Result as Result
from .contest import Search as Search
from .errors import InfeasibleError, InputError, NotFoundError
from .kinds.asked import KEYS, Asked, ask
from .kinds.choices import chosen
from .kinds.copies import most_together, serve_more, with_copies
from .kinds.goodput import with_goodput
from .kinds.goodput_limit import with_goodput_limit
from .plan.best import best_plan
from .plan.picture import SearchPoint, thinned
from .plan.plan import PlacedSpan, Plan
from .registry import is_yardstick, make_solver
from .search.stop import Progress, StoppedBy

LOOK_SHARE = 0.25  # of the time, for a look at several pipelines where one was asked for by nobody
LEAST_LOOK_S = 0.2
WORTH_IT = 1e-3  # part by which several pipelines must serve more than one, which is simpler

if TYPE_CHECKING:
    from .question.workload import Workload
    from .search.solver import Solver
    from .search.stop import Stop


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
    try:
        asked = chosen(asked, glanced)
    except InfeasibleError as error:
        if glances.unproven:
            raise NotFoundError(error.reasons) from None
        raise
    if asked.copies is None and serve_more(asked) and search.solver == "auto" and search.start is None:
        return _perhaps_copied(asked, search)
    return _copied(asked, search) if asked.copies not in (1, None) else _alone(asked, search)


def _alone(asked: Asked, search: Search) -> Result:
    """The best of the questions that one question stands for."""
    tasks = asked.tasks(search.start)
    solver = make_solver(search.solver, asked.kind.name) if isinstance(search.solver, str) else search.solver
    if is_yardstick(search.solver):  # they show what the splits of today's tools give, on the nodes as they are
        tasks = tuple(task for task in tasks if not task.wider) or tasks
    best, answers = compete(tasks, solver, search)
    if search.simplest and not is_yardstick(search.solver):  # a yardstick's split is wanted as it is
        best = replace(best, plan=asked.settled(best.plan, answers, search.start))
    return best if best.plan.status == "infeasible" else replace(best, plan=drawn(asked, best))


def _simulated(asked: Asked, search: Search, glanced: Callable[[Asked], Plan | None]) -> Result:
    """The answer to one of several objectives that serves most within the limits, or the best that serves enough."""
    last: list[Result] = []
    told = search.progress

    def solve(part: Asked, seconds: float) -> tuple[Plan, ...]:
        before, words = sum(result.plan.seconds for result in last), f"finalists by {part.wish.name}"

        def show(progress: Progress) -> None:
            if told is not None:
                share = min((before + progress.seconds) / search.seconds, 1.0)
                told(replace(progress, share=share, doing=f"{words}, {progress.evaluations:,} placements"))

        last.append(answer(part, replace(search, seconds=seconds, progress=None if told is None else show)))
        return (last[-1].plan, *last[-1].pareto)

    def watch(share: float, doing: str) -> None:
        if told is not None:
            told(Progress(search.seconds, 0, math.inf, -math.inf, 0.0, 0.0, share, doing))

    goodput = asked.wish.goodput
    found = with_goodput if goodput is None or goodput.least_per_s is None else with_goodput_limit
    plan = found(asked, search.seconds, search.seed, solve, glanced, watch)
    return replace(last[-1], plan=plan, pareto=(), trace=())


def _copied(asked: Asked, search: Search) -> Result:
    """Pipelines side by side, each the answer to a question of its own."""
    last: list[Result] = []

    def solve(part: Asked, seconds: float) -> Plan | None:
        if last and last[-1].stopped_by is StoppedBy.INTERRUPTED:
            return None  # whoever stops one search means all of them
        try:
            last.append(answer(part, replace(search, seconds=seconds, start=None)))
        except (InfeasibleError, NotFoundError):
            return None
        return last[-1].plan

    plan = with_copies(asked, search.seconds, solve)
    return replace(last[-1], plan=asked.pictured(plan) if len(plan.chains) > 1 else plan, pareto=())


def _perhaps_copied(asked: Asked, search: Search) -> Result:
    """One pipeline, or several side by side where a look at them shows that they serve more."""
    began = clock.now()
    one = _alone(asked, replace(search, seconds=(1.0 - LOOK_SHARE) * search.seconds))
    left = min(LOOK_SHARE * search.seconds, search.seconds - (clock.now() - began))
    if one.stopped_by is StoppedBy.INTERRUPTED or one.plan.status == "infeasible" or left < LEAST_LOOK_S:
        return one
    most = most_together(asked.question)
    if most is not None and most <= one.plan.objective.value:
        return one
    try:
        several = _copied(asked, replace(search, seconds=left, progress=None)).plan
    except NotFoundError:
        return one
    if several.objective.value <= one.plan.objective.value * (1.0 + WORTH_IT):
        return one
    plan = best_plan([several, one.plan], [several.objective.bound, one.plan.objective.bound])
    return replace(one, plan=replace(plan, notes=(*plan.notes, "`copies: 1` plans one pipeline")))


def drawn(asked: Asked, result: Result) -> Plan:
    """The plan with what its page draws, the curve of the search too."""
    plan, objective = asked.pictured(result.plan), asked.wish.objective
    if plan.picture is None:
        return plan
    points = [
        SearchPoint(
            point.seconds,
            objective.value(point.cost) if point.violation == 0 and math.isfinite(point.cost) else None,
            objective.value(point.bound) if math.isfinite(point.bound) and point.bound > 0 else None,
        )
        for point in result.trace
    ]
    return replace(plan, picture=replace(plan.picture, search=thinned(points)))
