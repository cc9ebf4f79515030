"""Routes as a kind: chains through a swarm whose layout is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from objectives.combine import TermSet
from objectives.routes.swarm import Swarm
from objectives.routes.terms import ROUTES as TERMS
from objectives.routes.terms import route_values
from placement.errors import InputError
from placement.plan.compare import Neighbour
from placement.plan.picture import Picture
from placement.plan.plan import PlacedSpan, Plan
from placement.plan.values import objective_value, point_value
from placement.question.objective import ObjectiveSpec, objective_of
from placement.question.routes import RoutesQuestion
from placement.readers.routes import routes_of
from placement.search.loop import Outcome
from placement.search.problem import IntArray

from ..base import FoundBy, Reasons, Task, Wish
from .infeasible import broken_lines, limits_beyond, reasons
from .picture import picture_of
from .plan import chain_of, numbered_spans, plan_of
from .problem import RoutesProblem
from .view import plan_view


@dataclass(frozen=True)
class RoutesTask(Task):
    """A swarm with an objective, and the problem that it is."""

    question: RoutesQuestion
    wish: Wish

    @cached_property
    def problem(self) -> RoutesProblem:
        """What solvers see."""
        asked = self.question
        return RoutesProblem(asked.swarm, self.wish.objective, asked.shape, asked.precision)

    def impossible(self) -> tuple[str, ...]:
        """A block that nobody holds; limits that no chain meets."""
        missing = self.question.swarm.missing
        return limits_beyond(self.problem) if missing is None else (f"block {missing} is held by nobody",)

    def running_genomes(self, running: Plan) -> IntArray:
        """The chain of a running plan."""
        try:
            spans = numbered_spans(self.problem, running.placement)
        except InputError as error:
            raise error.under("start") from None
        return self.problem.encode(spans)[None, :]

    def reasons(self, outcome: Outcome, *, one_split: bool) -> Reasons:
        """The limits that the best chain found breaks."""
        return reasons(self.problem, outcome)

    def plan(self, outcome: Outcome, found: FoundBy) -> Plan:
        """The best chain by the first objective; of several objectives, all chains of the front beside it."""
        objective, score = self.wish.objective, outcome.score
        value = objective_value(objective, score.cost, outcome.bound, feasible=score.violation == 0)
        if objective.pareto:  # proven where the whole front is, though the value is that of its first chain
            value = replace(value, proven_optimal=outcome.whole_front == 0.0)
        plan = plan_of(self.problem, outcome.spans, value)
        points = sorted(outcome.pareto, key=lambda point: point.values)
        chains = [chain_of(self.problem, point.spans, self.problem.details(point.spans)[0]) for point in points]
        notes = (*plan.notes, *self._proofs(outcome))
        return replace(found.told(plan, outcome), chains=tuple(chains) or plan.chains, notes=notes)

    def front(self, outcome: Outcome, found: FoundBy) -> tuple[Plan, ...]:
        """A plan for each chain of the front."""
        points = sorted(outcome.pareto, key=lambda point: point.values)
        values = [point_value(self.wish.objective, point.values) for point in points]
        return tuple(
            found.told(plan_of(self.problem, point.spans, value), outcome)
            for point, value in zip(points, values, strict=True)
        )

    def _proofs(self, outcome: Outcome) -> tuple[str, ...]:
        """What is proven about a front, and what a solver says."""
        said = (outcome.remark,) if outcome.remark else ()
        if not self.wish.objective.pareto or outcome.score.violation > 0:
            return said
        part = outcome.whole_front
        if part is None:
            return (*said, "the front was searched for: it is not proven that nothing is missing")
        if part > 0:
            return (*said, f"every chain of the exact front is within {part:.2%} of one of these")
        return (*said, "the front is exact: no chain beats any of these in everything")


@dataclass(frozen=True)
class RoutesKind:
    """Spans, rates and round trips are known, the way of a session is sought."""

    name: str = "routes"
    terms: TermSet = TERMS
    can: frozenset[str] = frozenset({"report", "score"})
    options: frozenset[str] = frozenset({"--start", "--report"})

    def read(self, data: Mapping[str, Any], where: str, folder: Path, model: object | None) -> RoutesQuestion:
        """A swarm file."""
        return routes_of(data, where)

    def wish(
        self, question: RoutesQuestion | Swarm, spec: ObjectiveSpec | None, limits: Mapping[str, float] | None
    ) -> Wish:
        """The objective named, else that of the file, else latency against throughput."""
        own = _asked(question).objective
        return Wish(objective_of(own if spec is None else spec, self.terms, own.limits, limits))

    def tasks(self, question: RoutesQuestion | Swarm, wish: Wish, running: Plan | None) -> tuple[Task, ...]:
        """One problem."""
        return (RoutesTask(_asked(question), wish),)

    def settled(self, best: Plan, answers: Sequence[tuple[Task, Plan]], running: Plan | None) -> Plan:
        """The best."""
        return best

    def neighbours(self, question: Any, wish: Wish, plan: Plan, running: Plan | None) -> tuple[Neighbour, ...]:
        """None yet."""
        return ()

    def judge(
        self, question: RoutesQuestion | Swarm, wish: Wish, placement: Sequence[PlacedSpan]
    ) -> tuple[Plan, tuple[str, ...]]:
        """A chain as a plan with its figures, and the limits that it breaks."""
        task = RoutesTask(_asked(question), wish)
        if task.question.swarm.missing is not None:
            raise InputError(f"block {task.question.swarm.missing} is held by nobody", "servers")
        problem = task.problem
        spans = numbered_spans(problem, placement)
        route, broken = problem.details(spans)
        score = problem.score(spans)
        value = objective_value(wish.objective, score.cost, problem.lower_bound(), feasible=not broken)
        plan = replace(plan_of(problem, spans, value), solver="given", stopped_by="exhausted")
        values = dict(zip(self.terms.names, route_values(route).tolist(), strict=True))
        return plan, broken_lines(problem, values, broken)

    def view(self, plan: Plan, *, ascii_only: bool) -> RenderableType:
        """The chain, or the front as a table."""
        return plan_view(plan)

    def picture(self, question: RoutesQuestion | Swarm, plan: Plan) -> Picture:
        """Servers, the round trips that chains use, the first chain."""
        asked = _asked(question)
        return picture_of(asked.swarm, asked.shape, plan)


def _asked(question: RoutesQuestion | Swarm) -> RoutesQuestion:
    """A bare swarm asks with the defaults of a file."""
    return RoutesQuestion(question) if isinstance(question, Swarm) else question


ROUTES = RoutesKind()
