"""Replicated placements as a kind: cluster files that ask for them, and clusters given by measured tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from rich.console import RenderableType

from objectives.combine import REPLICATED as TERMS
from objectives.combine import Objective, TermSet
from objectives.spans import Span
from placement.costs.intervals import cost_notes, intervals_of
from placement.errors import InputError
from placement.export.checks import rules_note
from placement.petals.request import limits as petals_limits
from placement.petals.request import servers_only, with_client
from placement.plan.compare import Neighbour
from placement.plan.picture import Picture
from placement.plan.plan import ObjectiveValue, PlacedSpan, Plan
from placement.plan.values import objective_value, point_value, with_bound
from placement.question.case import ReplicatedCase
from placement.question.objective import ObjectiveSpec, objective_of
from placement.question.request import Request
from placement.readers.cluster.read import request_of
from placement.readers.helix import is_helix, read_helix
from placement.search.loop import Outcome
from placement.search.problem import IntArray

from ..base import FoundBy, Reasons, Task, Wish
from ..pipeline.plan import groups_of
from ..rules import exporter_of
from ..runtimes import ensure_degrees, ensure_known_runtime
from ..space.variants import as_named, asked_for, group_variants
from .case import case_of
from .judge import numbered_spans, rules_broken, with_running
from .orders import better_order
from .picture import picture_of
from .plan import plan_of
from .problem import ReplicatedProblem
from .view import plan_view

DEFAULT = "served"
MOST_NODES = 1_200  # the reference looks at each pair of nodes that may follow each other
MOST_GROUPINGS = 8  # they share the time


@dataclass(frozen=True)
class ReplicatedTask(Task):
    """A case with its objective, and the problem that it is.

    Attributes
    ----------
    case : ReplicatedCase
    objective : Objective
    running : tuple of Span
        What the nodes hold now.
    client_ends : bool
        Clients hold embedding and head: plans are told in the blocks of the whole model.
    notes : tuple of str
    request : Request or None
        What the case was made of, where it was: it tells how far figures may be off.
    wider : bool
        Some of its nodes are groups that were formed from nodes of the file.
    space : str
        What is searched, in words, where that is more than the nodes of the file.
    """

    case: ReplicatedCase
    objective: Objective
    running: tuple[Span, ...] = ()
    client_ends: bool = False
    notes: tuple[str, ...] = field(default=())
    request: Request | None = None
    wider: bool = False
    space: str = ""

    @cached_property
    def problem(self) -> ReplicatedProblem:
        """What solvers see."""
        return ReplicatedProblem(self.case.tables, self.objective)

    def impossible(self) -> tuple[str, ...]:
        """Blocks that no node can hold, all nodes together too few."""
        tables = self.case.tables
        most = [min(int(count), tables.n_blocks) for count in tables.most_blocks]
        if not any(most):
            return ("no node can hold a block with the cache of one request",)
        if sum(most) < tables.n_blocks * tables.min_replicas:
            wanted = f"{tables.n_blocks} blocks" + (f", {tables.min_replicas} times" * (tables.min_replicas > 1))
            return (f"all nodes together hold {sum(most)} blocks with the cache of one request, not {wanted}",)
        return ()

    def running_genomes(self, running: Plan) -> IntArray:
        """What the nodes hold now."""
        return self.problem.encode(self.running)[None, :]

    def reasons(self, outcome: Outcome, *, one_split: bool) -> Reasons:
        """The rules that the best placement found breaks."""
        lines = rules_broken(self.case, self.objective, *self.problem.details(outcome.spans))
        told = ("no replicated placement was found that keeps every rule; the best one:", *lines)
        return Reasons(lines if one_split else told, proven=outcome.bound == float("inf"))

    def plan(self, outcome: Outcome, found: FoundBy) -> Plan:
        """The best placement."""
        score = outcome.score
        value = objective_value(self.objective, score.cost, outcome.bound, feasible=score.violation == 0)
        return self._told(outcome.spans, value, outcome, found)

    def front(self, outcome: Outcome, found: FoundBy) -> tuple[Plan, ...]:
        """Placements that no other one found dominates, without their chains."""
        points = sorted(outcome.pareto, key=lambda point: point.values)
        values = [point_value(self.objective, point.values) for point in points]
        return tuple(
            self._told(point.spans, value, outcome, found, chains=False)
            for point, value in zip(points, values, strict=True)
        )

    def known(self, plan: Plan) -> Plan:
        """The plan with its groups, and how far its figures may be off, where it is known what they are made of."""
        if self.request is None:
            return plan
        used = {span.node for span in plan.placement}
        notes = (*plan.notes, *cost_notes(self.request, used))
        intervals, groups = intervals_of(self.request, used, plan.figures), groups_of(self.request, used)
        return replace(plan, intervals=intervals, notes=notes, groups=groups, space=self.space)

    def reordered(self, best: Plan) -> Plan:
        """The plan for served throughput with its stages in the order that serves most in the simulation."""
        objective = self.objective
        if objective.single != "throughput" or objective.pareto or best.objective.proven_optimal or self.client_ends:
            return best
        spans = numbered_spans(self.case, best.placement)
        found = better_order(self.problem, spans, np.random.default_rng(best.seed))
        if found is None:
            return best
        value = objective_value(objective, self.problem.score(found.spans).cost, -np.inf)
        plan = with_bound(self.known(plan_of(self.case, self.problem, found.spans, value)), best.objective.bound)
        note = (
            f"stages are in an order that serves {found.after:,.1f} tokens/s in a short simulation, the one that was "
            f"found {found.before:,.1f}; the estimate cannot tell them apart ({value.value:,.1f} and "
            f"{best.objective.value:,.1f})"
        )
        return replace(
            best,
            placement=plan.placement,
            objective=plan.objective,
            figures=plan.figures,
            intervals=plan.intervals,
            chains=plan.chains,
            routing=plan.routing,
            ranges=plan.ranges,
            notes=(*best.notes, note),
        )

    def _told(
        self, spans: tuple[Span, ...], value: ObjectiveValue, outcome: Outcome, found: FoundBy, *, chains: bool = True
    ) -> Plan:
        plan = self.known(plan_of(self.case, self.problem, spans, value, chains=chains))
        notes = (*self.notes, *((outcome.remark,) if outcome.remark else ()), *plan.notes)
        plan = replace(found.told(plan, outcome), notes=notes)
        return with_client(plan) if self.client_ends else plan


@dataclass(frozen=True)
class ReplicatedKind:
    """Every node holds one span, blocks lie on several nodes, requests go through any chain."""

    name: str = "replicated"
    terms: TermSet = TERMS
    can: frozenset[str] = frozenset({"report", "score", "tables", "export", "run", "simulate"})
    options: frozenset[str] = frozenset({"--model", "--runtime", "--start", "--edges", "--report", "--rate", "--limit"})

    def read(self, data: Mapping[str, Any], where: str, folder: Path, model: object | None) -> Request | ReplicatedCase:
        """A cluster file with ``placement: replicated``, or a case in Helix's format."""
        if not is_helix(data):
            request = ensure_degrees(ensure_known_runtime(request_of(data, where, folder, model), where), where)
            return ensure_enough_nodes(request, f"{where}: min_replicas")
        if model is not None:
            raise InputError("does not apply: the tables of the file say what a node can do", f"{where}: --model")
        edges = data.get("edges", "exact")
        if edges not in ("exact", "partial"):
            raise InputError(f"expected exact or partial, got {str(edges)[:40]!r}", f"{where}: edges")
        case = {key: value for key, value in data.items() if key != "edges"}
        try:
            return read_helix(case, partial=edges == "partial")
        except InputError as error:
            raise error.under(where) from None

    def wish(
        self, question: Request | ReplicatedCase, spec: ObjectiveSpec | None, limits: Mapping[str, float] | None
    ) -> Wish:
        """The objective named, else that of the file, else served throughput."""
        if isinstance(question, ReplicatedCase):
            return Wish(objective_of(DEFAULT if spec is None else spec, self.terms, limits))
        own = question.objective
        if own.terms is not self.terms:  # a request made in Python: its default says nothing about replicas
            chosen = own.pareto or own.weights
            own = objective_of(DEFAULT if own == Objective() else chosen, self.terms, own.limits)
        return Wish(objective_of(own if spec is None else spec, self.terms, own.limits, limits))

    def tasks(self, question: Request | ReplicatedCase, wish: Wish, running: Plan | None) -> tuple[Task, ...]:
        """One problem, and the same on groups of devices; under Petals, servers hold decoder layers only."""
        if running is not None:
            task = self._task(asked_for(running.placement, question) if _forms_groups(question) else question, wish)
            case, spans = with_running(task.case, running)
            return (replace(task, case=case, running=spans),)
        task = self._task(question, wish)
        variants = list(_on_groups(question))
        if not variants:
            return (task,)
        most = max(node.tensor_parallel for variant in variants for node in variant.cluster.nodes)
        space = f"single devices, or tensor groups up to {most}"
        tasks = (task, *(replace(self._task(variant, wish), wider=True) for variant in variants))
        return tuple(replace(one, space=space) for one in tasks)

    def settled(self, best: Plan, answers: Sequence[tuple[Task, Plan]], running: Plan | None) -> Plan:
        """The best, its stages in an order that serves more where the estimate cannot tell."""
        task = next((task for task, plan in answers if plan.placement == best.placement), None)
        if running is not None or best.status != "solved" or not isinstance(task, ReplicatedTask):
            return best
        return task.reordered(best)

    def neighbours(self, question: Any, wish: Wish, plan: Plan, running: Plan | None) -> tuple[Neighbour, ...]:
        """None yet."""
        return ()

    def judge(
        self, question: Request | ReplicatedCase, wish: Wish, placement: Sequence[PlacedSpan]
    ) -> tuple[Plan, tuple[str, ...]]:
        """A placement as a plan with its figures, and the rules that it breaks."""
        plain = question
        if isinstance(question, Request):
            plain = replace(question, runtime="", costs=question.costs or question.runtime)
            placement = as_named(placement, plain)
            plain = asked_for(placement, plain)
        task = self._task(plain, wish)
        spans = numbered_spans(task.case, placement)
        problem = task.problem
        score = problem.score(spans)
        value = objective_value(wish.objective, score.cost, problem.lower_bound(), feasible=score.violation == 0)
        plan = replace(task.known(plan_of(task.case, problem, spans, value)), solver="given", stopped_by="exhausted")
        return plan, rules_broken(task.case, wish.objective, *problem.details(spans))

    def view(self, plan: Plan, *, ascii_only: bool) -> RenderableType:
        """Spans by node and the figures."""
        return plan_view(plan)

    def picture(self, question: Request | ReplicatedCase, plan: Plan) -> Picture:
        """Hosts, links, memory by use, the chain that carries most."""
        if isinstance(question, Request) and plan.groups:
            return picture_of(asked_for(plan.placement, question), plan)
        return picture_of(question, plan)

    def _task(self, question: Request | ReplicatedCase, wish: Wish) -> ReplicatedTask:
        if isinstance(question, ReplicatedCase):
            return ReplicatedTask(question, wish.objective, notes=question.notes)
        ensure_enough_nodes(question, "min_replicas")
        notes = (*question.model.notes, *question.cluster.notes)
        runtime = exporter_of(question.runtime)
        if runtime is None:  # none, or one that only costs are known of
            return ReplicatedTask(case_of(question), wish.objective, notes=notes, request=question)
        if not runtime.holds.replicas:
            raise InputError(f"{runtime.name} holds every block once, the placement is replicated", "runtime")
        layers = servers_only(question)
        case = case_of(layers, most=petals_limits(layers))
        notes = (*notes, rules_note(runtime, question.runtime))
        return ReplicatedTask(case, wish.objective, client_ends=True, notes=notes, request=question)


def _forms_groups(question: Request | ReplicatedCase) -> TypeGuard[Request]:
    """Whether devices may join: not under a runtime whose servers are single nodes."""
    return isinstance(question, Request) and exporter_of(question.runtime) is None


def _on_groups(question: Request | ReplicatedCase) -> Iterator[Request]:
    """The question on groups of its devices, as far as they leave enough holders for every block."""
    if _forms_groups(question):
        enough = (one for one in group_variants(question) if one.cluster.n_nodes >= question.min_replicas)
        yield from islice(enough, MOST_GROUPINGS)


def ensure_enough_nodes(request: Request, where: str) -> Request:
    """Refuse more copies of a block than there are nodes, and more nodes than any search has time for."""
    if request.cluster.n_nodes > MOST_NODES:
        found = f"expected at most {MOST_NODES} nodes for replicated placements, got {request.cluster.n_nodes}"
        raise InputError(found, where.replace("min_replicas", "nodes"))
    if request.min_replicas > request.cluster.n_nodes:
        found = f"expected at most {request.cluster.n_nodes}, the number of nodes, got {request.min_replicas}"
        raise InputError(found, where)
    return request


REPLICATED = ReplicatedKind()
