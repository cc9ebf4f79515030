"""Why nothing fits: which block fits nowhere, what memory is missing, which limit cannot be met and what could be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from objectives.combine import PIPELINE, Objective
from objectives.pipeline.limits import Violation
from objectives.spans import Span
from placement.quantities import quantity, size
from placement.question.request import Request
from placement.search.loop import Outcome, run
from placement.search.solvers.auto import Auto
from placement.search.stop import StoppedBy

from ..base import Reasons
from .problem import PipelineProblem

# Seconds spent on the best possible value of a limit that could not be met: of one, and of all together.
ASK_S, ALL_S = 1.5, 3.0
LEAST_S = 0.3  # of one, after a search that was itself cut short
PROVEN, UNMET, MET = "cannot be met", "was not met", "can be met alone"


def memory_reasons(problem: PipelineProblem, request: Request) -> list[str]:
    """Blocks that fit on no node, and bytes that all nodes together lack."""
    tables = problem.tables
    need = tables.weight_bytes + tables.kv_bytes
    usable = np.where(tables.allowed, np.maximum(tables.capacity_bytes, 0.0)[:, None], -1.0)
    lines = []
    for block in np.flatnonzero(need > usable.max(axis=0) * (1 + 1e-12) + 1e-6)[:3]:
        node = int(usable[:, block].argmax())
        room = f"the largest room for it is {size(max(usable[node, block], 0.0))} on {request.cluster.names[node]}"
        lines.append(f"block '{request.model.blocks[block].name}' needs {size(need[block])} and fits nowhere: {room}")
    total = float(np.maximum(tables.capacity_bytes, 0.0)[tables.allowed.any(axis=1)].sum())
    if need.sum() > total * (1 + 1e-12) + 1e-6:
        lines.append(
            f"the model needs {size(need.sum())} with the cache of one sequence, "
            f"all nodes together offer {size(total)}: {size(need.sum() - total)} are missing"
        )
    return lines


def reasons(request: Request, problem: PipelineProblem, outcome: Outcome) -> Reasons:
    """Explain the violation of the best placement found.

    A search that must break something breaks what is cheapest, so a limit may be to blame that this placement meets:
    each limit is tried alone first.
    """
    _, broken = problem.details(outcome.spans)
    limits = request.objective.limits
    cut_short = outcome.stopped_by is StoppedBy.TIME
    each = min(ASK_S, ALL_S / max(1, len(limits)), max(LEAST_S, outcome.seconds) if cut_short else ASK_S)
    tried = [_alone(problem, name, limit, each) for name, limit in limits.items()]
    impossible = tuple(line for line, state in tried if state == PROVEN)
    if impossible:
        return Reasons(impossible, proven=True)
    proven = outcome.bound == np.inf
    unmet = tuple(line for line, state in tried if state == UNMET)
    if unmet:
        return Reasons(unmet, proven)
    lines = tuple(line for line, _ in tried)
    found = (*_memory(request, broken, proven), *_rules(broken))
    if lines:
        together = "each limit can be met alone, but no placement was found that meets everything together"
        found = (together, *found, *lines)
    return Reasons(found or ("no placement was found that meets every rule",), proven)


def split_reasons(request: Request, problem: PipelineProblem, outcome: Outcome) -> Reasons:
    """Say what one given split breaks, without a search for better ones; it proves nothing about others."""
    terms, broken = problem.details(outcome.spans)
    lines = [
        f"the split lacks {size(missing)} on {request.cluster.names[node]}"
        for node, missing in enumerate(broken.missing_bytes)
        if missing
    ]
    for name in broken.excess:
        value, unit = PIPELINE.readable(name, terms.values[name]), PIPELINE.units[name]
        lines.append(
            f"{name} {quantity(value, unit)} breaks the limit {quantity(request.objective.limits[name], unit)}"
        )
    return Reasons((*lines, *(f"the split breaks a rule: {name}" for name in broken.counts)), proven=False)


def rules_broken(request: Request, problem: PipelineProblem, spans: Sequence[Span]) -> tuple[str, ...]:
    """The rules that a given placement breaks, in sentences."""
    terms, found = problem.details(spans)
    names, limits = request.cluster.names, problem.objective.limits
    lines = [f"{names[k]} lacks {size(missing)}" for k, missing in enumerate(found.missing_bytes) if missing > 0]
    lines += [RULES_BROKEN.get(name, RULES[name]) for name in found.counts]
    lines += [
        f"{name} is {quantity(PIPELINE.readable(name, terms.values[name]), PIPELINE.units[name])}, "
        f"the limit {quantity(limits[name], PIPELINE.units[name])}"
        for name in found.excess
    ]
    return tuple(lines)


def _memory(request: Request, broken: Violation, proven: bool) -> list[str]:
    missing = sum(broken.missing_bytes)
    if not missing:
        return []
    worst = int(np.argmax(broken.missing_bytes))
    fits = "no placement fits in memory" if proven else "no placement was found that fits in memory"
    return [f"{fits}: the best one lacks {size(missing)}, most of it on {request.cluster.names[worst]}"]


RULES = {
    "cuts": "forbidden cuts cannot be avoided",
    "pins": "pinned blocks or excluded nodes leave no placement",
    "ties": "tied blocks cannot share a node",
    "include": "not every node in 'include' can hold a block",
    "max_nodes": "more nodes than max_nodes are needed",
    "contiguous": "no placement gives every node one run of blocks; try contiguous: false",
    "links": "the nodes that are needed have no links to each other",
}


RULES_BROKEN = {
    "cuts": "a boundary lies where the model must not be cut",
    "pins": "a block lies on a node that must not hold it",
    "ties": "tied blocks lie on different nodes",
    "include": "a node in 'include' holds nothing",
    "max_nodes": "more nodes than max_nodes are used",
    "contiguous": "a node holds several runs of blocks, and contiguous is true",
    "links": "neighbouring stages have no link to each other",
}


def _rules(broken: Violation) -> list[str]:
    return [RULES[name] for name in broken.counts]


def _alone(whole: PipelineProblem, name: str, limit: float, seconds: float) -> tuple[str, str]:
    """Search for the best value of one term alone; say it, and whether the limit can be met."""
    key = next(key for key, term in PIPELINE.limits.items() if term == name)
    objective = Objective({name: 1.0})
    problem = PipelineProblem(whole.tables, objective)
    rng, starts, lower = np.random.default_rng(0), problem.starts(), problem.lower_bound()
    outcome = run(problem, Auto(), rng=rng, start=starts, seconds=seconds, bound=lower)
    unit = PIPELINE.units[name]
    wanted = f"limits.{key}: {quantity(limit, unit)}"
    if outcome.score.violation > 0:
        return f"{wanted} was not met", UNMET
    best, bound = (quantity(objective.value(cost), unit) for cost in (outcome.score.cost, outcome.bound))
    most = PIPELINE.minimised(name, limit)
    if outcome.score.cost <= most:
        return f"{wanted} can be met alone (best possible: {best})", MET
    if outcome.bound > most:
        return f"{wanted} cannot be met: the best possible is {best}, proven: nothing is better than {bound}", PROVEN
    return f"{wanted} was not met: the best found is {best}", UNMET
