"""Pipelines as a kind: cluster files, models on clusters, networkx graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from objectives.combine import PIPELINE as TERMS
from objectives.combine import TermSet
from placement.costs.build import build_tables
from placement.costs.intervals import cannot_tell
from placement.errors import InputError
from placement.plan.compare import Neighbour
from placement.plan.picture import Picture
from placement.plan.plan import ObjectiveValue, PlacedSpan, Plan
from placement.plan.values import objective_value, point_value
from placement.question.objective import ObjectiveSpec, objective_of
from placement.question.request import Request
from placement.readers.cluster.read import request_of
from placement.report.table import plan_view
from placement.search.loop import Outcome
from placement.search.problem import IntArray, Spans

from ..base import FoundBy, Reasons, Task, Wish
from ..runtimes import ensure_degrees, ensure_known_runtime, under_runtime
from ..space.copies import judged_beside, one_by_one
from ..space.variants import Variant, as_named, asked_for, variants_of, with_running
from .infeasible import memory_reasons, reasons, rules_broken, split_reasons
from .near import by_memory, with_fewer, with_more
from .picture import picture_of
from .plan import plan_of
from .problem import PipelineProblem
from .settle import Answer, settled
from .spans import numbered_spans
from .starts import constructive


@dataclass(frozen=True)
class PipelineTask(Task):
    """A request with its objective, and the problem that it is.

    Attributes
    ----------
    variant : Variant
        The request, which may be a part of a wider space than the question asks for by itself.
    wish : Wish
    space : str
        The space that it is a part of, in words; empty where it is the whole.
    """

    variant: Variant
    wish: Wish
    space: str = ""

    @property
    def request(self) -> Request:
        """The question."""
        return self.variant.request

    @property
    def wider(self) -> bool:
        """Whether groups stand in the place of nodes, say."""
        return self.variant.wider

    @property
    def least(self) -> float:
        """A bound on the cost of the questions of this space that are not searched; infinite where there are none."""
        return self.variant.least

    @property
    def size(self) -> int:
        """Nodes times blocks."""
        return self.variant.n_nodes * self.variant.base.model.n_blocks

    @cached_property
    def problem(self) -> PipelineProblem:
        """What solvers see."""
        return PipelineProblem(build_tables(self.request), self.wish.objective, self.wish.custom)

    def starts(self, seconds: float) -> IntArray:
        """Constructive placements; of a large problem in a short time, fewer splits are tried."""
        return constructive(self.problem, seconds)

    def glances(self) -> IntArray:
        """A few plain splits."""
        return self.problem.glances()

    def bounds(self) -> Iterator[float]:
        """By every block at its fastest node; then by the Lagrangian bound at little effort."""
        yield self.problem.bare_bound()
        yield self.problem.quick_bound()

    def impossible(self) -> tuple[str, ...]:
        """Blocks that fit nowhere, bytes that are missing."""
        return tuple(memory_reasons(self.problem, self.request))

    def running_genomes(self, running: Plan) -> IntArray:
        """The running plan as one genome."""
        used = {span.node for span in running.placement}
        if self.space and not used <= set(self.request.cluster.names):
            return np.empty((0, self.problem.genome_size), dtype=np.int64)  # it runs in another part of the space
        spans = numbered_spans(running.placement, self.request, running.n_blocks)
        try:
            return self.problem.encode(spans)[None, :]
        except ValueError as error:  # more runs than this problem's genomes hold
            raise InputError(f"the plan to begin from does not suit this problem: {error}", "start") from None

    def reasons(self, outcome: Outcome, *, one_split: bool) -> Reasons:
        """Why the best placement found breaks a rule."""
        return (split_reasons if one_split else reasons)(self.request, self.problem, outcome)

    def plan(self, outcome: Outcome, found: FoundBy) -> Plan:
        """The best placement."""
        feasible = outcome.score.violation == 0
        value = objective_value(self.wish.objective, outcome.score.cost, outcome.bound, feasible=feasible)
        return found.told(self._placed(outcome.spans, value), outcome)

    def _placed(self, spans: Spans, value: ObjectiveValue) -> Plan:
        return replace(plan_of(self.request, self.problem, spans, value), space=self.space)

    def front(self, outcome: Outcome, found: FoundBy) -> tuple[Plan, ...]:
        """Plans that no other one found dominates."""
        points = sorted(outcome.pareto, key=lambda point: point.values)
        values = [point_value(self.wish.objective, point.values) for point in points]
        return tuple(
            found.told(self._placed(point.spans, value), outcome) for point, value in zip(points, values, strict=True)
        )

    def given(self, spans: Spans) -> tuple[Plan, tuple[str, ...]]:
        """A placement as a plan with its figures, and the rules of the question that it breaks."""
        score = self.problem.score(spans)
        bound = self.problem.lower_bound()
        value = objective_value(self.wish.objective, score.cost, bound, feasible=score.violation == 0)
        plan = plan_of(self.request, self.problem, spans, value)
        return replace(plan, solver="given", stopped_by="exhausted"), rules_broken(self.request, self.problem, spans)

    def neighbour(self, what: str, spans: Spans, cost: float) -> Neighbour:
        """A placement beside one of this cost."""
        plan, broken = self.given(spans)
        apart = None if broken else not cannot_tell(self.request, cost, self.problem.score(spans).cost)
        return Neighbour(what, plan, broken, apart)


@dataclass(frozen=True)
class PipelineKind:
    """Every block on exactly one node, one chain through all of them."""

    name: str = "pipeline"
    terms: TermSet = TERMS
    can: frozenset[str] = frozenset(
        {"score", "tables", "export", "import", "run", "replan", "report", "simulate", "custom"}
    )
    options: frozenset[str] = frozenset(
        {"--model", "--runtime", "--start", "--report", "--explain", "--rate", "--limit"}
    )

    def read(self, data: Mapping[str, Any], where: str, folder: Path, model: object | None) -> Request:
        """A cluster file."""
        return ensure_degrees(ensure_known_runtime(request_of(data, where, folder, model), where), where)

    def wish(self, question: Request, spec: ObjectiveSpec | None, limits: Mapping[str, float] | None) -> Wish:
        """The objective named, else that of the file, else the time per token."""
        own = question.objective
        return Wish(objective_of(own if spec is None else spec, self.terms, own.limits, limits))

    def tasks(self, question: Request, wish: Wish, running: Plan | None) -> tuple[Task, ...]:
        """The request, or those whose answers its runtime can hold."""
        request = replace(question, objective=wish.objective)
        variants, space = variants_of(request)
        if running is not None:
            variants = with_running(variants, running)
        if request.runtime:
            variants = [
                Variant(part, variant.wider or bool(part.constraints.parts_only), variant.least)
                for variant in variants
                for part in under_runtime(variant.request)
            ]
        return tuple(PipelineTask(variant, wish, space) for variant in variants)

    def settled(self, best: Plan, answers: Sequence[tuple[Task, Plan]], running: Plan | None) -> Plan:
        """The simplest of those that predictions cannot tell from the best."""
        mine = [Answer(task.request, task.problem, plan) for task, plan in answers if isinstance(task, PipelineTask)]
        return settled(best, mine, running)

    def neighbours(self, question: Request, wish: Wish, plan: Plan, running: Plan | None) -> tuple[Neighbour, ...]:
        """One node less, one more, the even split by memory, and what runs now."""
        if plan.chains:
            return ()  # of pipelines side by side, none is beside the others
        request = replace(question, objective=wish.objective)
        request = asked_for(plan.placement, request)
        return neighbours_of([PipelineTask(Variant(part), wish) for part in under_runtime(request)], plan, running)

    def judge(self, question: Request, wish: Wish, placement: Sequence[PlacedSpan]) -> tuple[Plan, tuple[str, ...]]:
        """A split as a plan with its figures, and the rules of the question that it breaks; no runtime's.

        Layouts of the whole model one after the other are pipelines side by side.
        """
        layouts = one_by_one(placement)
        if len(layouts) > 1:
            return judged_beside(question, layouts, lambda part, layout: self.judge(part, wish, layout))
        placement = as_named(placement, question)
        task = PipelineTask(Variant(asked_for(placement, replace(question, objective=wish.objective))), wish)
        return task.given(tuple(numbered_spans(tuple(placement), task.request)))

    def view(self, plan: Plan, *, ascii_only: bool) -> RenderableType:
        """Stages with memory and busy bars, and the figures."""
        return plan_view(plan, ascii_only=ascii_only)

    def picture(self, question: Request, plan: Plan) -> Picture:
        """Hosts, links, memory by use, seconds by stage."""
        return picture_of(question, plan)


def neighbours_of(tasks: Sequence[PipelineTask], plan: Plan, running: Plan | None) -> tuple[Neighbour, ...]:
    """Plans beside a plan of the first task that it suits."""
    for task in tasks:
        problem, spans = task.problem, tuple(numbered_spans(plan.placement, task.request))
        cost = problem.score(spans).cost
        if problem.details(spans)[1].total > 0 and task is not tasks[-1]:
            continue
        beside = {
            "one node less": with_fewer(problem, spans),
            "one node more": with_more(problem, spans),
            "even by memory": by_memory(problem),
        }
        if running is not None:
            beside["what runs now"] = tuple(numbered_spans(running.placement, task.request, running.n_blocks))
        return tuple(task.neighbour(what, other, cost) for what, other in beside.items() if other is not None)
    return ()


PIPELINE = PipelineKind()
