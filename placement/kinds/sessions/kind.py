"""Sessions as a kind: fleets of servers whose sessions reserve caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from objectives.combine import SESSIONS as TERMS
from objectives.combine import Objective, TermSet
from objectives.sessions.chains import Composition, Fleet, broken_rules, greedy_chains, total_rate
from objectives.spans import Range, Span
from placement.errors import InfeasibleError, InputError, PlacementError
from placement.plan.compare import Neighbour
from placement.plan.picture import Picture
from placement.plan.plan import PlacedSpan, Plan
from placement.question.objective import ObjectiveSpec, objective_of
from placement.readers.fleet import ensure_chain, fleet_of
from placement.search.loop import Outcome
from placement.search.problem import IntArray, Spans
from placement.search.stop import StoppedBy

from ..base import FoundBy, Reasons, Task, Wish
from .bound import Proven
from .closer import best_packed, best_simulated
from .columns import Packing, most_of
from .picture import picture_of
from .plan import how_measured, looked_at, plan_of
from .problem import SessionsProblem, moves_in
from .spans import impossible, numbered_spans, overfull, unmet
from .view import plan_view
from .warm import warm_up

DEFAULT = "rate"
PACK_S_PER_SERVER, SIMULATE_S = 0.004, 0.008  # what it takes to pack one placement, and to simulate one
PART = 0.05  # part of a search's time that the closer look may take beside it
MOST_PACKED, MOST_SIMULATED = 6, 40


@dataclass(frozen=True)
class SessionsTask(Task):
    """A fleet with an objective, and the problem that it is.

    Attributes
    ----------
    fleet : Fleet
    objective : Objective
    running : tuple of (int, int)
        What the servers hold now; empty when it does not matter.
    """

    fleet: Fleet
    objective: Objective
    running: tuple[Range, ...] = ()

    @cached_property
    def problem(self) -> SessionsProblem:
        """What solvers see."""
        return SessionsProblem(self.fleet, self.objective)

    def impossible(self) -> tuple[str, ...]:
        """Blocks that nobody holds, arrivals that no memory has room for."""
        try:
            ensure_chain(self.fleet)
        except InfeasibleError as error:
            return error.reasons
        return impossible(self.problem, self.problem.at_a_glance())

    def running_genomes(self, running: Plan) -> IntArray:
        """What the servers hold now."""
        return self.problem.genome(self.running)[None, :]

    def reasons(self, outcome: Outcome, *, one_split: bool) -> Reasons:
        """The rules that the best placement found breaks."""
        proven, what = self._proven(outcome), "this placement" if one_split else "the best placement found"
        if outcome.bound == float("inf"):
            return Reasons(impossible(self.problem, proven), proven=True)
        lines = unmet(self.problem, looked_at(self.problem, self._closest(outcome).plan, 0))
        most = f"no placement serves more than {proven.rate:.4g} sessions/s"
        return Reasons(tuple(f"{what}: {line}; {most}" for line in lines), proven=False)

    def plan(self, outcome: Outcome, found: FoundBy) -> Plan:
        """The best of those that the search named for a closer look, by that look."""
        packing = self._closest(outcome)
        looked = looked_at(self.problem, packing.plan, found.seed)
        if broken := broken_rules(self.fleet, looked.plan):
            raise PlacementError(f"a bug: the search broke a rule: {broken[0]}")
        proven, relaxation = self._proven(outcome), packing.relaxation
        plan = plan_of(self.problem, looked, proven, outcome.bound, relaxation=relaxation)
        return self._told(plan, outcome, found)

    def front(self, outcome: Outcome, found: FoundBy) -> tuple[Plan, ...]:
        """Placements that no other one found dominates, with greedy chains."""
        plans = []
        for point in sorted(outcome.pareto, key=lambda point: point.values):
            looked = looked_at(self.problem, self.problem.composition(point.spans), found.seed)
            plan = plan_of(self.problem, looked, self._proven(outcome), -float("inf"))
            plans.append(self._told(plan, outcome, found))
        return tuple(plans)

    def _closest(self, outcome: Outcome) -> Packing:
        """The best by the closer look, of as many of those that the search named as it was long enough for."""
        problem, best = self.problem, self.problem.composition(outcome.spans)
        if not outcome.finalists or outcome.stopped_by is StoppedBy.INTERRUPTED:
            return self._as_it_is(best)
        worth = PART * outcome.evaluations / moves_in(self.fleet, 1.0)  # seconds, by what was done and not by the clock
        if problem.response:
            count = between(2, worth / SIMULATE_S, MOST_SIMULATED)
            plans = [problem.composition(spans) for spans in self._candidates(outcome, count)]
            return self._as_it_is(best_simulated(problem, plans, tries=count))
        count = between(1, worth / (PACK_S_PER_SERVER * self.fleet.n_servers), MOST_PACKED)
        return best_packed(problem, [problem.composition(spans) for spans in self._candidates(outcome, count)])

    def _as_it_is(self, plan: Composition) -> Packing:
        return Packing(plan, total_rate(self.fleet, plan.chains), most_of(self.fleet, plan))

    def _candidates(self, outcome: Outcome, count: int) -> list[Spans]:
        """The best, what runs now, and the finalists that were named last."""
        running = [tuple(Span(j, a, b) for j, (a, b) in enumerate(self.running) if b > a)] if self.running else []
        found = dict.fromkeys([outcome.spans, *running, *reversed(outcome.finalists)])
        return list(found)[: count + len(running)]

    def _proven(self, outcome: Outcome) -> Proven:
        """Bounds over all placements: those of the search, or what is proven at a glance."""
        glance, bounds = self.problem.at_a_glance(), outcome.term_bounds
        rate = min(glance.rate, 1.0 / bounds["rate"]) if "rate" in bounds else glance.rate
        return Proven(rate, max(glance.response_s, bounds.get("response", 0.0)))

    def _told(self, plan: Plan, outcome: Outcome, found: FoundBy) -> Plan:
        return replace(found.told(plan, outcome), notes=(*plan.notes, how_measured()))


@dataclass(frozen=True)
class SessionsKind:
    """Every server holds one span; sessions go through chains of servers on which they reserve caches."""

    name: str = "sessions"
    terms: TermSet = TERMS
    can: frozenset[str] = frozenset({"report", "score"})
    options: frozenset[str] = frozenset({"--start", "--report"})

    def read(self, data: Mapping[str, Any], where: str, folder: Path, model: object | None) -> Fleet:
        """A fleet."""
        if model is not None:
            raise InputError("does not apply: the servers of the file say what a block takes", f"{where}: --model")
        return fleet_of(data, where)

    def wish(self, question: Fleet, spec: ObjectiveSpec | None, limits: Mapping[str, float] | None) -> Wish:
        """The objective named, else the total rate."""
        return Wish(objective_of(DEFAULT if spec is None else spec, self.terms, limits))

    def tasks(self, question: Fleet, wish: Wish, running: Plan | None) -> tuple[Task, ...]:
        """The fleet; the kernels are ready then, so that no time limit pays for it."""
        warm_up()
        return (SessionsTask(question, wish.objective, held(running, question)),)

    def settled(self, best: Plan, answers: Sequence[tuple[Task, Plan]], running: Plan | None) -> Plan:
        """The best."""
        return best

    def neighbours(self, question: Any, wish: Wish, plan: Plan, running: Plan | None) -> tuple[Neighbour, ...]:
        """None yet."""
        return ()

    def judge(self, question: Fleet, wish: Wish, placement: Sequence[PlacedSpan]) -> tuple[Plan, tuple[str, ...]]:
        """A placement with its best chains and their figures, and the rules that it breaks."""
        problem, spans = SessionsProblem(question, wish.objective), numbered_spans(placement, question)
        given = Composition(spans, greedy_chains(question, spans))
        if problem.response:
            given = best_simulated(problem, [given], MOST_SIMULATED)
        else:
            given = best_packed(problem, [given]).plan
        looked, proven = looked_at(problem, given, 0), problem.at_a_glance()
        plan = plan_of(problem, looked, proven, problem.bound_of(proven), relaxation=most_of(question, given))
        broken = (*overfull(question, spans), *unmet(problem, looked))
        status = "infeasible" if broken else plan.status
        plan = replace(plan, status=status, solver="given", stopped_by="exhausted", notes=(*plan.notes, how_measured()))
        return plan, broken

    def view(self, plan: Plan, *, ascii_only: bool) -> RenderableType:
        """Chains, the rate and the response time with their bounds."""
        return plan_view(plan)

    def picture(self, question: Fleet, plan: Plan) -> Picture:
        """Servers with weights and caches, the fastest chain."""
        return picture_of(question, plan)


def held(running: Plan | None, fleet: Fleet) -> tuple[Range, ...]:
    """What the servers hold now; raise `InputError` for what they cannot hold."""
    if running is None:
        return ()
    spans = numbered_spans(running.placement, fleet, running.n_blocks)
    if broken := overfull(fleet, spans):
        raise InputError(f"the plan to begin from does not suit this fleet: {broken[0]}", "start")
    return spans


def between(least: int, value: float, most: int) -> int:
    """The whole part of a value, within its range."""
    return max(least, min(int(value), most))


SESSIONS = SessionsKind()
