"""`optimize()`: wires question, kind, problem, solver and loop together, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InfeasibleError, InputError, NotFoundError
from .kinds.asked import Asked, ask
from .kinds.base import FoundBy, Task
from .plan.plan import FrontPoint, PlacedSpan, Plan
from .plan.values import ensure_finite, term_values, with_bound
from .registry import is_yardstick, make_solver
from .search.loop import TracePoint, run_asked
from .search.problem import IntArray
from .search.stop import StoppedBy, ensure_seconds

if TYPE_CHECKING:
    from .question.workload import Workload
    from .search.solver import Solver
    from .search.stop import Progress, Stop


@dataclass(frozen=True, slots=True)
class Result:
    """What `optimize` returns.

    Attributes
    ----------
    plan : Plan
        The best placement with its predicted figures.
    pareto : tuple of Plan
        With several objectives: plans that no other one found dominates, sorted by the first objective.
    trace : tuple of TracePoint
        Improvements over time.
    stopped_by : StoppedBy
    """

    plan: Plan
    pareto: tuple[Plan, ...]
    trace: tuple[TracePoint, ...]
    stopped_by: StoppedBy

    @property
    def bound(self) -> float | None:
        """Proven bound on the objective's value."""
        return self.plan.objective.bound

    @property
    def gap(self) -> float | None:
        """Relative gap between value and bound; 0 is optimal."""
        return self.plan.objective.gap


@dataclass(frozen=True, slots=True)
class Search:
    """How to search: the same for every kind.

    Attributes
    ----------
    solver : str or Solver
        A name of `placement.registry.SOLVERS`, of a plugin, or a solver itself.
    seconds : float
        Time limit.
    seed : int
    start : Plan or None
        The plan that runs now.
    stop, progress : callable or None
    simplest : bool
        Of plans that predictions cannot tell apart, answer with the simplest; False: with the best found.
    """

    solver: str | Solver = "auto"
    seconds: float = 10.0
    seed: int = 0
    start: Plan | None = None
    stop: Stop | None = None
    progress: Callable[[Progress], None] | None = None
    simplest: bool = True

    def __post_init__(self) -> None:
        ensure_seconds(self.seconds)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"expected a whole number of at least 0, got {self.seed!r}", "seed")

    @property
    def name(self) -> str:
        """The solver's name for people."""
        return self.solver if isinstance(self.solver, str) else type(self.solver).__name__


def optimize(
    model: Any,
    cluster: str | Path | Mapping[str, Any] | Any,
    *,
    workload: Workload | Mapping[str, int] | None = None,
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
        A name; several names for a Pareto front; weights by name; or, for pipelines, a plain function of
        `objectives.pipeline.terms.Terms` to minimise. Default: the file's, else the kind's own.
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
    workload: Workload | Mapping[str, int] | None = None,
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

    A question may stand for several, of which the best answer counts; each gets its share of the time.
    """
    tasks = asked.tasks(search.start)
    solver = make_solver(search.solver, asked.kind.name) if isinstance(search.solver, str) else search.solver
    part = replace(search, seconds=search.seconds / len(tasks))
    found: list[tuple[Task, Result]] = []
    failures: list[InfeasibleError | NotFoundError] = []
    for task in tasks:
        try:
            found.append((task, solved(task, solver, part)))
        except (InfeasibleError, NotFoundError) as error:
            failures.append(error)
    best = best_of([result for _, result in found], failures)
    if not search.simplest or is_yardstick(search.solver):  # a yardstick's split is wanted as it is
        return best
    return replace(best, plan=asked.settled(best.plan, [(task, result.plan) for task, result in found], search.start))


def solved(task: Task, solver: Solver, search: Search) -> Result:
    """Search for the best plan of one problem."""
    if impossible := task.impossible():
        raise InfeasibleError(impossible)
    one_split = is_yardstick(search.solver)
    outcome = run_asked(
        task.problem,
        solver,
        search.name,
        seed=search.seed,
        start=starts(task, search),
        seconds=search.seconds,
        stop=search.stop,
        show=search.progress,
    )
    found = FoundBy(search.name, search.seed)
    plan = task.plan(outcome, found)
    if plan.status == "infeasible" and outcome.stopped_by is not StoppedBy.INTERRUPTED:
        why = task.reasons(outcome, one_split=one_split)
        raise InfeasibleError(why.lines) if why.proven else NotFoundError(why.lines, plan)
    ensure_finite(plan)
    front = task.front(outcome, found)
    points = tuple(point_of(point, task) for point in front)
    return Result(replace(plan, pareto=points), front, outcome.trace, outcome.stopped_by)


def starts(task: Task, search: Search) -> IntArray:
    """Genomes to begin from: the running plan, then the constructive ones (yardsticks go without)."""
    problem = task.problem
    none = np.empty((0, problem.genome_size), dtype=np.int64)
    own = none if is_yardstick(search.solver) else problem.starts()
    return own if search.start is None else np.concatenate([task.running_genomes(search.start), own])


def point_of(plan: Plan, task: Task) -> FrontPoint:
    """A plan of a front, without what all of its plans share."""
    objective = task.problem.objective
    values = term_values(plan, objective.terms)
    return FrontPoint({name: values[name] for name in objective.pareto}, plan.placement, plan.figures)


def best_of(found: Sequence[Result], failures: Sequence[InfeasibleError | NotFoundError]) -> Result:
    """The best answer to several questions of one objective.

    A bound that was proven for one of them says nothing about the others: the result carries the loosest. Evaluations
    and seconds are those of all.
    """
    if not found:
        lines = tuple(dict.fromkeys(line for error in failures for line in error.reasons))
        attempts = [error for error in failures if isinstance(error, NotFoundError)]
        raise NotFoundError(lines, attempts[0].best) if attempts else InfeasibleError(lines)
    if len(found) == 1 and not failures:
        return found[0]
    sign = -1.0 if found[0].plan.objective.sense == "maximize" else 1.0
    best = min(found, key=lambda result: sign * result.plan.objective.value)
    bounds = [result.bound for result in found]
    unproven = any(isinstance(error, NotFoundError) for error in failures)
    known = [bound for bound in bounds if bound is not None]
    loosest = sign * min(sign * bound for bound in known) if len(known) == len(bounds) and not unproven else None
    plan = replace(
        with_bound(best.plan, loosest),
        evaluations=sum(result.plan.evaluations for result in found),
        seconds=sum(result.plan.seconds for result in found),
    )
    return replace(best, plan=plan)
