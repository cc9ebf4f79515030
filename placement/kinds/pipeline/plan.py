"""From the outcome of a run to plans with named nodes and predicted figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from objectives.combine import UNITS, Objective
from objectives.pipeline.terms import Terms
from objectives.spans import Span
from placement.optimize import Result
from placement.plan.plan import Figures, Limiter, NodeUse, ObjectiveValue, PlacedSpan, Plan
from placement.question.request import Request
from placement.search.loop import OPTIMAL_GAP, Outcome
from placement.search.problem import Score
from placement.search.stop import StoppedBy

from .problem import PipelineProblem


def result_of(request: Request, problem: PipelineProblem, outcome: Outcome, *, solver: str, seed: int) -> Result:
    """Make the plan, and one for each point of a Pareto front."""
    label = f"{solver} ({outcome.winner})" if outcome.winner and outcome.winner != solver else solver
    value = objective_value(problem, outcome.score, outcome.bound)
    found = {
        "solver": label,
        "seed": seed,
        "evaluations": outcome.evaluations,
        "seconds": outcome.seconds,
        "stopped_by": outcome.stopped_by.name.lower(),
    }
    plan = plan_of(request, problem, outcome.spans, value, **found)
    if outcome.stopped_by is StoppedBy.INTERRUPTED:
        plan = _with(plan, status="interrupted" if outcome.score.violation == 0 else "infeasible")
    front = sorted(outcome.pareto, key=lambda point: point.values)
    plans = tuple(
        plan_of(request, problem, point.spans, _point_value(problem, point.values), **found) for point in front
    )
    return Result(plan, plans, outcome.trace, outcome.stopped_by)


def plan_of(
    request: Request, problem: PipelineProblem, spans: Sequence[Span], value: ObjectiveValue, **found: object
) -> Plan:
    """A plan from spans of node numbers; every figure comes from the reference code."""
    terms, broken = problem.details(spans)
    names = (*request.cluster.names, "client")
    nodes = tuple(
        NodeUse(node.name, node.memory_bytes - node.reserve_bytes, terms.memory_bytes[k], terms.busy_s[k])
        for k, node in enumerate(request.cluster.nodes)
    )
    limiter = terms.bottleneck
    plan = Plan(
        status="solved" if broken.total == 0 else "infeasible",
        model=request.model.name,
        n_blocks=request.model.n_blocks,
        block_names=tuple(block.name for block in request.model.blocks),
        placement=tuple(PlacedSpan(names[span.node], span.start, span.stop) for span in spans),
        objective=value,
        figures=figures_of(terms),
        nodes=nodes,
        bottleneck=Limiter(limiter.kind, " -> ".join(names[k] for k in limiter.where), limiter.seconds),
        notes=(*request.model.notes, *request.cluster.notes, *flight_note(request, terms)),
    )
    return _with(plan, **found)


def figures_of(terms: Terms) -> Figures:
    """The figures that people read."""
    values = terms.values
    return Figures(
        time_per_token_s=values["latency"],
        ttft_s=values["ttft"],
        tokens_per_s=1.0 / values["throughput"] if values["throughput"] > 0 else float("inf"),
        request_time_s=values["request_time"],
        price_per_hour=values["price"],
        energy_per_token_j=values["energy"],
        in_flight=terms.in_flight,
        micro_batch=terms.micro_batch,
    )


def flight_note(request: Request, terms: Terms) -> tuple[str, ...]:
    """Say when memory holds fewer sequences than the workload wants."""
    want = request.workload.concurrency
    if terms.in_flight >= want:
        return ()
    return (f"cache memory holds {terms.in_flight} of the {want} sequences that the workload wants in flight",)


def objective_value(problem: PipelineProblem, score: Score, bound: float) -> ObjectiveValue:
    """Value, bound and gap as people read them: the gap is relative and 0 is optimal, whichever way is better."""
    objective = problem.objective
    if problem.custom is not None:
        name = getattr(problem.custom, "__name__", "custom")
        return ObjectiveValue(name, score.cost, "", "minimize", None, None, False)
    known = np.isfinite(bound) and (bound > 0 or bound == score.cost)
    gap = (max(0.0, score.cost / bound - 1.0) if bound > 0 else 0.0) if known and score.violation == 0 else None
    return ObjectiveValue(
        name=objective.name,
        value=objective.value(score.cost),
        unit=unit_of(objective),
        sense="maximize" if objective.maximised else "minimize",
        bound=objective.value(bound) if known else None,
        gap=0.0 if gap is not None and gap <= OPTIMAL_GAP else gap,
        proven_optimal=gap is not None and gap <= OPTIMAL_GAP and not objective.pareto,
    )


def unit_of(objective: Objective) -> str:
    """Unit of the value; a mix has none."""
    return UNITS[objective.single] if objective.single and not objective.pareto else ""


def _point_value(problem: PipelineProblem, values: Sequence[float]) -> ObjectiveValue:
    """A point of a Pareto front: its first objective's value, without a bound."""
    first = Objective({problem.objective.pareto[0]: 1.0})
    return ObjectiveValue(
        problem.objective.name, first.value(values[0]), unit_of(first),
        "maximize" if first.maximised else "minimize", None, None, False,
    )  # fmt: skip


def _with(plan: Plan, **changes: object) -> Plan:
    return replace(plan, **changes)  # type: ignore[arg-type]
