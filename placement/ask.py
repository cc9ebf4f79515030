"""What `optimize` accepts, turned into one `Request`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.combine import LIMITS, TERMS, Objective
from objectives.pipeline.terms import Terms

from .errors import InfeasibleError, InputError, nearest
from .plan.plan import Plan
from .question.cluster import Cluster
from .question.request import Request
from .question.workload import Workload

if TYPE_CHECKING:
    from .optimize import Result


def as_request(
    model: Any,
    cluster: Any,
    workload: Workload | Mapping[str, int] | None,
    objective: Any,
    limits: Mapping[str, float] | None,
) -> tuple[Request, Callable[[Terms], float] | None]:
    """Return the request and, for an objective that is a plain function, that function."""
    request = _request(model, cluster)
    if workload is not None:
        request = replace(request, workload=workload if isinstance(workload, Workload) else _workload(workload))
    custom = objective if callable(objective) else None
    if custom is None and objective is not None:
        objective, custom = _named(objective)
    chosen = request.objective if objective is None or custom is not None else objective
    return replace(request, objective=make_objective(chosen, request.objective.limits, limits)), custom


def under_runtime(request: Request) -> tuple[Request, ...]:
    """The questions that stand for a request: itself, or those whose answers its runtime can hold."""
    if not request.runtime:
        return (request,)
    from .export.checks import under
    from .registry import make_runtime, runtime_names

    if request.runtime not in runtime_names():  # only its costs are known: it holds any plan
        return (replace(request, runtime="", costs=request.runtime),)
    return under(request, make_runtime(request.runtime))


def best_of(
    questions: Sequence[Request], custom: Callable[[Terms], float] | None, seconds: float, options: Mapping[str, Any]
) -> Result:
    """The best answer to several questions of one objective, each searched for so many seconds.

    A bound that was proven for one of them says nothing about the others: the result carries the loosest.
    """
    from .optimize import optimize

    found: list[Result] = []
    reasons: list[str] = []
    for question in questions:
        try:
            found.append(optimize(None, question, objective=custom, time_limit=seconds, **options))
        except InfeasibleError as error:
            reasons += error.reasons
    if not found:
        raise InfeasibleError(dict.fromkeys(reasons))
    sign = -1.0 if found[0].plan.objective.sense == "maximize" else 1.0
    best = min(found, key=lambda result: sign * result.plan.objective.value)
    bounds = [result.bound for result in found]
    loosest = None if None in bounds else sign * min(sign * bound for bound in bounds if bound is not None)
    return replace(best, plan=with_bound(best.plan, loosest))


def with_bound(plan: Plan, bound: float | None) -> Plan:
    """The same plan with another bound on its objective."""
    from .search.loop import OPTIMAL_GAP

    value = plan.objective.value
    low, high = sorted((value, bound)) if bound is not None else (0.0, 0.0)
    gap = max(0.0, high / low - 1.0) if low > 0 else None
    proven = gap is not None and gap <= OPTIMAL_GAP and plan.objective.proven_optimal
    objective = replace(plan.objective, bound=bound, gap=gap, proven_optimal=proven)
    return replace(plan, objective=objective)


def make_objective(
    spec: str | Sequence[str] | Mapping[str, float] | Objective,
    *limits: Mapping[str, float] | None,
) -> Objective:
    """Build an objective; unknown names are errors that offer the nearest one."""
    words = [part.strip() for part in spec.split(",")] if isinstance(spec, str) else spec
    if not isinstance(words, Objective):
        for name in words:
            if name not in TERMS:
                raise InputError(f"unknown objective '{name}'{nearest(name, TERMS)} (known: {', '.join(TERMS)})")
        if len(set(words)) < len(words):
            raise InputError("an objective is named twice", "objective")
    bounds: dict[str, float] = {}
    for part in limits:
        for name, value in (part or {}).items():
            if name not in LIMITS:
                raise InputError(f"unknown limit '{name}'{nearest(name, LIMITS)}", "limits")
            bounds[LIMITS[name]] = float(value)
    try:
        return Objective.of(words, bounds)
    except ValueError as error:
        raise InputError(str(error), "objective") from None


def _named(objective: Any) -> tuple[Any, Callable[[Terms], float] | None]:
    """Look a name that is no built-in term up among the registered custom objectives."""
    if isinstance(objective, str) and objective not in TERMS and "," not in objective:
        from .registry import custom_objective

        custom = custom_objective(objective)
        if custom is not None:
            return None, custom
    return objective, None


def _request(model: Any, cluster: Any) -> Request:
    if isinstance(cluster, Request):
        return cluster if model is None else replace(cluster, model=_model(model))
    if isinstance(cluster, str | Path | Mapping):
        from .readers.cluster.read import read_request

        return read_request(cluster, model=model)
    if model is None:
        raise InputError("expected a model: a preset name, a path, a Model or a torch module, got None", "model")
    if isinstance(cluster, Cluster):
        return Request(_model(model), cluster)
    if hasattr(cluster, "adjacency"):
        from .readers.cluster.graph import from_graph

        return Request(_model(model), from_graph(cluster))
    raise InputError(
        f"expected a path, a mapping, a Cluster or a networkx graph, got {type(cluster).__name__}", "cluster"
    )


def _model(model: Any) -> Any:
    from .readers.models.read import read_model

    return read_model(model)


def _workload(data: Mapping[str, int]) -> Workload:
    known = tuple(Workload.__slots__)
    for name in data:
        if name not in known:
            raise InputError(f"unknown key{nearest(name, known)}", f"workload.{name}")
    return Workload(**data)
