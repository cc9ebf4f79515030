"""Which of the plans that predictions cannot tell apart is taken: the one with fewest devices, then least to load.

Errors of plans on the same devices go together, but not wholly: two plans whose values differ by less than the width of
published comparisons are equally good for all that is known. Where a runtime is named whose costs were measured, the
simplest of them is the answer, and the best found stays told in a note. Elsewhere the best found is, as it is: but for
devices that hold an embedding or a head and no layer, which few runtimes can do and nobody wants for so little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from objectives.combine import Objective
from objectives.spans import Span
from placement.costs.intervals import OF_FIGURE, costs_are_known, is_measured, told_apart_from
from placement.costs.runtimes import costs_or_generic
from placement.errors import InputError
from placement.plan.plan import Plan
from placement.plan.values import objective_value, with_bound
from placement.quantities import percent, quantity
from placement.question.request import Request
from placement.search.problem import Spans

from .near import order_of, with_fewer, with_more
from .plan import plan_of
from .problem import PipelineProblem
from .spans import numbered_spans

ENDS = ("embed", "head")  # kinds of blocks that are no layers


@dataclass(frozen=True, slots=True)
class Answer:
    """The best plan of one of a question's problems."""

    request: Request
    problem: PipelineProblem
    plan: Plan


@dataclass(frozen=True, slots=True)
class Choice:
    """A placement that may be taken: `devices` in use, bytes that nodes must load, the cost that is minimised."""

    of: Answer
    spans: Spans
    devices: int
    moved_bytes: float
    cost: float

    @property
    def simple(self) -> tuple[int, float, float]:
        """What is less is taken."""
        return self.devices, self.moved_bytes, self.cost


def settled(best: Plan, answers: Sequence[Answer], running: Plan | None) -> Plan:
    """The plan to answer with.

    Parameters
    ----------
    best : Plan
        The best of the answers, with the bound that holds for all of them.
    answers : sequence of Answer
    running : Plan or None
        The plan that runs now.

    Returns
    -------
    Plan
        `best`, or the simplest that cannot be told from it; a note says which, and how it compares.
    """
    winner = next(one for one in answers if one.plan.placement == best.placement)
    objective, spans = winner.problem.objective, spans_of(winner)
    known = costs_are_known(winner.request)
    if best.status != "solved" or not comparable(objective, winner.problem) or not (known or ends_alone(winner, spans)):
        return best
    width = told_apart_from(winner.request)
    first = _choice(winner, spans, running)
    simpler = list(_simpler(winner, spans, running, width * first.cost))
    if not known:
        near = [first, *(one for one in simpler if not ends_alone(winner, one.spans))][:2]
    else:
        found = [first, *(_choice(one, spans_of(one), running) for one in answers if one is not winner), *simpler]
        if running is not None:
            found += _kept(answers, running)
        near = [one for one in found if one.cost <= width * first.cost]
    taken = min(near, key=lambda one: one.simple)
    if taken.spans == first.spans and taken.of is winner:
        return replace(best, notes=(*best.notes, *(_runner_up(first, near, width, running) if known else ())))
    note = _told(taken, first, best, width)
    value = objective_value(objective, taken.cost, float("-inf"))
    plan = plan_of(taken.of.request, taken.of.problem, taken.spans, value)
    found_by = {name: getattr(best, name) for name in ("solver", "seed", "evaluations", "seconds", "stopped_by")}
    plan = replace(plan, notes=(*plan.notes, note), space=best.space, **found_by)
    return with_bound(plan, best.objective.bound)


def comparable(objective: Objective, problem: PipelineProblem) -> bool:
    """Whether the objective is one predicted figure."""
    name = objective.single
    timed = name is not None and not objective.pareto and objective.terms.figures.get(name) in OF_FIGURE
    return timed and problem.custom is None


def ends_alone(answer: Answer, spans: Spans) -> bool:
    """Whether a device holds an embedding or a head and no layer; in main memory they are where runtimes keep them.

    Seconds that somebody measured are not taken for estimates.
    """
    nodes, blocks = answer.request.cluster.nodes, answer.request.model.blocks
    if any(is_measured(nodes[span.node]) for span in spans):
        return False
    layers = {span.node for span in spans if any(blocks[k].kind not in ENDS for k in range(span.start, span.stop))}
    return any(span.node not in layers and not nodes[span.node].main_memory for span in spans)


def spans_of(answer: Answer) -> Spans:
    """A plan's spans by numbers of nodes."""
    return tuple(numbered_spans(answer.plan.placement, answer.request))


def _choice(answer: Answer, spans: Spans, running: Plan | None) -> Choice:
    nodes = answer.request.cluster.nodes
    devices = sum(nodes[node].tensor_parallel for node in order_of(spans))
    moved = _moved_bytes(answer, spans, running) if running is not None else 0.0
    return Choice(answer, spans, devices, moved, answer.problem.score(spans).cost)


def _moved_bytes(answer: Answer, spans: Sequence[Span], running: Plan) -> float:
    """Bytes that nodes must load which they do not hold now."""
    names, blocks = answer.request.cluster.names, answer.request.model.blocks
    held = {(span.node, block) for span in running.placement for block in range(span.start, span.stop)}
    return sum(
        blocks[block].weight_bytes
        for span in spans
        for block in range(span.start, span.stop)
        if (names[span.node], block) not in held
    )


def _simpler(answer: Answer, spans: Spans, running: Plan | None, most: float) -> Iterator[Choice]:
    """One node less at a time, as long as the cost is at most `most`."""
    fewer: Spans | None = spans
    while (fewer := with_fewer(answer.problem, fewer or spans)) is not None:
        choice = _choice(answer, fewer, running)
        if choice.cost > most:
            return
        yield choice


def _kept(answers: Sequence[Answer], running: Plan) -> Iterator[Choice]:
    """What runs now, where it suits one of the questions."""
    for answer in answers:
        try:
            spans = tuple(numbered_spans(running.placement, answer.request, running.n_blocks))
        except InputError:  # of other nodes or blocks
            continue
        if answer.problem.score(spans).violation == 0:
            yield _choice(answer, spans, running)


def _told(taken: Choice, first: Choice, best: Plan, width: float) -> str:
    """How the plan that is taken compares with the best found."""
    what = _devices(taken.devices)
    if taken.devices == first.devices:
        what += f", {percent(1.0 - taken.moved_bytes / first.moved_bytes)} less to load" if first.moved_bytes else ""
    elif taken.devices < first.devices:
        what += f" instead of {first.devices}"
    spans = ",".join(f"{span.node}={span.start}:{span.stop}" for span in best.placement)
    proven = ", proven optimal" if best.objective.proven_optimal else ""
    return (
        f"{what}: {_value(taken, taken.cost)} against {_value(taken, first.cost)}, no difference that can be told "
        f"({_limit(taken, width)}); the best found is {spans}{proven}"
    )


def _runner_up(first: Choice, near: Sequence[Choice], width: float, running: Plan | None) -> tuple[str, ...]:
    """Say when a plan on another number of devices is as good for all that can be told."""
    others = [one for one in near if one.devices != first.devices]
    more = with_more(first.of.problem, first.spans)
    if more is not None and (one := _choice(first.of, more, running)).cost <= width * first.cost:
        others.append(one)
    if not others:
        return ()
    other = min(others, key=lambda one: one.cost)
    return (
        f"{_devices(first.devices)} or {other.devices}: {_value(first, first.cost)} or {_value(first, other.cost)}, "
        f"no difference that can be told ({_limit(first, width)})",
    )


def _devices(count: int) -> str:
    return "one device" if count == 1 else f"{count} devices"


def _value(choice: Choice, cost: float) -> str:
    objective = choice.of.problem.objective
    return quantity(objective.value(cost), objective.terms.units[objective.single or ""])


def _limit(choice: Choice, width: float) -> str:
    request = choice.of.request
    name = costs_or_generic(request.runtime or request.costs).name
    whose = f"costs of {name}" if costs_are_known(request) else "estimates by device class"
    return f"{whose} tell plans apart from {percent(width - 1.0)} on"
