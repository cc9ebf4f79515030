"""`optimize()`: wires model, cluster, problem, solver and loop together, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.combine import Objective
from objectives.pipeline.terms import Terms

from .errors import InfeasibleError, InputError
from .plan.plan import Plan
from .question.cluster import Cluster
from .question.model import Model
from .question.request import Request
from .question.workload import Workload

if TYPE_CHECKING:
    from .search.loop import TracePoint
    from .search.solver import Solver
    from .search.stop import Progress, Stop, StoppedBy

ObjectiveSpec = str | Sequence[str] | Mapping[str, float] | Objective | Callable[[Terms], float]


@dataclass(frozen=True, slots=True)
class Result:
    """What `optimize` returns.

    Attributes
    ----------
    plan : Plan
        The best placement with its predicted figures.
    bound, gap : float or None
        Proven bound on the objective's value, and the relative gap to it; 0 is optimal.
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
        """Relative gap between value and bound."""
        return self.plan.objective.gap


def optimize(
    model: str | Path | Model | Any | None,
    cluster: str | Path | Mapping[str, Any] | Cluster | Any | Request,
    *,
    workload: Workload | Mapping[str, int] | None = None,
    objective: ObjectiveSpec | None = None,
    limits: Mapping[str, float] | None = None,
    solver: str | Solver = "auto",
    time_limit: float = 10.0,
    seed: int = 0,
    start: Plan | None = None,
    stop: Stop | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Find the best placement of a model on a cluster.

    Parameters
    ----------
    model : str, Path, Model, torch.nn.Module or None
        Preset name, path of a ``config.json``, checkpoint folder or ``.gguf``, a `Model`, or a module (the meta device
        is enough). None takes the model that the cluster file names.
    cluster : path, mapping, Cluster, networkx graph or Request
    workload : Workload or mapping, optional
    objective : str, list, mapping, Objective or callable, optional
        A name; several names for a Pareto front; weights by name; or a plain function of `objectives.terms.Terms`
        to minimise. Default: the cluster file's, else "latency".
    limits : mapping, optional
        Largest value by name: ``{"ttft": 2.0}`` in s, ``time_per_token`` in s, ``price`` in $/h, ...
    solver : str or Solver
    time_limit : float
        Seconds of search.
    seed : int
        Same seed, same trace (up to where the time limit cuts it).
    start : Plan, optional
        A running plan to begin from.
    stop : callable, optional
        Extra stopping criterion, see `placement.stop`.
    progress : callable, optional
        Called with `Progress` a few times a second.

    Raises
    ------
    InputError
        Something in the model, cluster or objective is wrong.
    InfeasibleError
        No placement fits; the reasons say what is missing, in bytes or seconds.
    """
    from .ask import as_request, best_of, under_runtime
    from .kinds.pipeline.build import problem_of, with_start
    from .kinds.pipeline.infeasible import ensure_possible, reasons, split_reasons
    from .kinds.pipeline.plan import result_of
    from .registry import is_yardstick, make_solver
    from .search.loop import run_asked
    from .search.stop import StoppedBy, ensure_seconds

    ensure_seconds(time_limit)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"expected a whole number of at least 0, got {seed!r}", "seed")
    request, custom = as_request(model, cluster, workload, objective, limits)
    if request.kind == "replicated":
        raise InputError("optimize finds pipelines; placement.kinds.replicated.solve has solve_replicated", "placement")
    questions = under_runtime(request)
    if len(questions) > 1:
        options: dict[str, Any] = {"solver": solver, "seed": seed, "start": start, "stop": stop, "progress": progress}
        return best_of(questions, custom, time_limit / len(questions), options)
    (request,) = questions
    problem = problem_of(request, custom)
    ensure_possible(request, problem)
    chosen = make_solver(solver) if isinstance(solver, str) else solver
    name = solver if isinstance(solver, str) else type(solver).__name__
    starts = with_start(problem, request, start, constructive=not is_yardstick(solver))
    outcome = run_asked(problem, chosen, name, seed=seed, start=starts, seconds=time_limit, stop=stop, show=progress)
    if outcome.score.violation > 0 and outcome.stopped_by is not StoppedBy.INTERRUPTED:
        why = split_reasons if is_yardstick(solver) else reasons
        raise InfeasibleError(why(request, problem, outcome))
    return result_of(request, problem, outcome, solver=name, seed=seed)
