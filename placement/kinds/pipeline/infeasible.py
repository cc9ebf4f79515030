"""Why nothing fits: which block fits nowhere, what memory is missing, which limit cannot be met and what could be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from objectives.combine import LIMITS, Objective
from objectives.pipeline.limits import Violation
from placement.errors import InfeasibleError
from placement.quantities import quantity, size
from placement.question.request import Request
from placement.search.loop import Outcome, run
from placement.search.stop import time_limit

from .build import problem_of
from .problem import PipelineProblem
from .solvers.auto import Auto

# Seconds spent on the best possible value of a limit that could not be met.
ASK_S = 1.5
CANNOT, ALONE = "cannot be met", "can be met alone"


def ensure_possible(request: Request, problem: PipelineProblem | None = None) -> None:
    """Raise `InfeasibleError` for what a glance at the tables proves impossible."""
    found = memory_reasons(problem or problem_of(request), request)
    if found:
        raise InfeasibleError(found)


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


def reasons(request: Request, problem: PipelineProblem, outcome: Outcome) -> list[str]:
    """Explain the violation of the best placement found.

    A search that must break something breaks what is cheapest, so a limit may be to blame that this placement meets:
    each limit is tried alone first.
    """
    _, broken = problem.details(outcome.spans)
    lines = [_limit(request, name, limit) for name, limit in request.objective.limits.items()]
    impossible = [line for line in lines if CANNOT in line]
    if impossible:
        return impossible
    found = [*_memory(request, broken), *_rules(broken)]
    if lines and (broken.excess or all(ALONE in line for line in lines)):
        found = [
            "each limit can be met alone, but no placement was found that meets everything together",
            *found,
            *lines,
        ]
    return found or lines


def split_reasons(request: Request, problem: PipelineProblem, outcome: Outcome) -> list[str]:
    """Say what one given split breaks, without a search for better ones."""
    terms, broken = problem.details(outcome.spans)
    lines = [
        f"the split lacks {size(missing)} on {request.cluster.names[node]}"
        for node, missing in enumerate(broken.missing_bytes)
        if missing
    ]
    for name in broken.excess:
        value = 1.0 / terms.values[name] if name == "throughput" else terms.values[name]
        lines.append(
            f"{name} {quantity(name, value)} breaks the limit {quantity(name, request.objective.limits[name])}"
        )
    return lines + [f"the split breaks a rule: {name}" for name in broken.counts]


def _memory(request: Request, broken: Violation) -> list[str]:
    missing = sum(broken.missing_bytes)
    if not missing:
        return []
    worst = int(np.argmax(broken.missing_bytes))
    return [
        f"no placement was found that fits in memory: the best one lacks {size(missing)}, "
        f"most of it on {request.cluster.names[worst]}"
    ]


RULES = {
    "cuts": "forbidden cuts cannot be avoided",
    "pins": "pinned blocks or excluded nodes leave no placement",
    "ties": "tied blocks cannot share a node",
    "include": "not every node in 'include' can hold a block",
    "max_nodes": "more nodes than max_nodes are needed",
    "contiguous": "no placement gives every node one run of blocks; try contiguous: false",
    "links": "the nodes that are needed have no links to each other",
}


def _rules(broken: Violation) -> list[str]:
    return [RULES[name] for name in broken.counts]


def _limit(request: Request, name: str, limit: float) -> str:
    """Search for the best value of one term alone, and say it."""
    key = next(key for key, term in LIMITS.items() if term == name)
    alone = replace(request, objective=Objective({name: 1.0}))
    problem = problem_of(alone)
    outcome = run(
        problem,
        Auto(),
        rng=np.random.default_rng(0),
        start=problem.starts(),
        stop=time_limit(ASK_S),
        bound=problem.lower_bound(),
    )
    objective = alone.objective
    best, bound = objective.value(outcome.score.cost), objective.value(outcome.bound)
    if outcome.score.violation > 0:
        return f"limits.{key}: {quantity(name, limit)} was not met"
    proven = outcome.bound > problem_cost(objective, limit)
    met = best >= limit if objective.maximised else best <= limit
    if met:
        return f"limits.{key}: {quantity(name, limit)} {ALONE} (best possible: {quantity(name, best)})"
    known = f", proven: nothing is better than {quantity(name, bound)}" if proven else ""
    return f"limits.{key}: {quantity(name, limit)} {CANNOT}: the best possible is {quantity(name, best)}{known}"


def problem_cost(objective: Objective, value: float) -> float:
    """The cost of a value that people read: the inverse for throughput."""
    return 1.0 / value if objective.maximised else value
