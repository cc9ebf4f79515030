"""From a running plan to the next one: nodes were lost or came, and blocks that stay where they are cost nothing.

The bytes to move are a cost: loading block b on node i takes bytes(b) / load rate seconds, which are spread over the
tokens that the new plan is expected to serve and added to the block's decode time there. So every solver and every
bound weighs them without knowing of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from objectives.pipeline.tables import CostTables
from objectives.spans import Span
from placement.errors import InfeasibleError, InputError, NotFoundError
from placement.plan.plan import PlacedSpan, Plan
from placement.question.cluster import Cluster
from placement.question.model import Model
from placement.question.request import Constraints, Request
from placement.question.workload import Workload
from placement.readers.models.read import read_model
from placement.search.loop import run
from placement.search.solver import Solver
from placement.search.solvers.annealing import Annealing
from placement.search.solvers.auto import Auto

from ..base import FoundBy
from ..space.variants import Variant, asked_for
from .kind import PIPELINE, PipelineTask
from .problem import PipelineProblem

AUTO = Auto()
LOAD_BYTES_PER_S = 500e6
"""Rate at which a node reads weights when nobody says otherwise: a plain solid-state disk."""


@dataclass(frozen=True, slots=True)
class Move:
    """Node `node` loads block `block`: `n_bytes` bytes."""

    node: str
    block: int
    n_bytes: float


@dataclass(frozen=True, slots=True)
class Replanned:
    """The next plan and the way there.

    Attributes
    ----------
    plan : Plan
    moves : tuple of Move
        Blocks that their new node must load.
    load_s : float
        Seconds of loading at the given rate, all nodes at once.
    """

    plan: Plan
    moves: tuple[Move, ...]
    load_s: float

    @property
    def moved_bytes(self) -> float:
        """Bytes that must be loaded, all nodes together."""
        return sum(move.n_bytes for move in self.moves)


def replan(
    plan: Plan,
    model: Any,
    cluster: Cluster | Request,
    *,
    lost: Sequence[str] = (),
    workload: Workload | None = None,
    objective: Any = None,
    load_bytes_per_s: float | Mapping[str, float] = LOAD_BYTES_PER_S,
    horizon_tokens: float = 1000.0,
    solver: Solver = AUTO,
    time_limit: float = 1.0,
    seed: int = 0,
) -> Replanned:
    """Find the next plan of a running pipeline.

    Parameters
    ----------
    plan : Plan
        The running plan.
    model : Model, path, preset name or None
        None takes the request's.
    cluster : Cluster or Request
        All nodes, the lost ones included or not.
    lost : sequence of str
        Nodes that are gone.
    load_bytes_per_s : float or mapping of str to float
        Rate at which a node loads weights, in bytes/s.
    horizon_tokens : float
        Decode steps that the new plan is expected to serve: loading is spread over them.

    Raises
    ------
    InfeasibleError
        The remaining nodes cannot hold the model.
    NotFoundError
        No plan was found in the time there was.
    """
    if not horizon_tokens > 0:
        raise InputError(f"expected a positive number of tokens, got {horizon_tokens}", "horizon_tokens")
    if plan.chains:
        raise InputError("pipelines side by side are not planned anew: solve the file without the nodes", "plan")
    cluster = _with_groups_of(plan, cluster, lost)
    task = _task(model, cluster, workload, objective, lost)
    request, problem = task.request, task.problem
    if impossible := task.impossible():
        raise InfeasibleError(impossible)
    penalty = loading_s(plan, request, load_bytes_per_s)
    tables = problem.tables
    weighed = replace(problem, tables=slower(tables, penalty / horizon_tokens))
    starts = [_patched(plan, request, weighed)]
    gone = {*lost, *(group.name for group in plan.groups if set(group.devices) & set(lost))}
    if not gone & {span.node for span in plan.placement}:
        starts.append(task.running_genomes(plan))
    outcome = run(
        weighed,
        solver,
        rng=np.random.default_rng(seed),
        start=np.concatenate([*starts, weighed.starts()]),
        seconds=time_limit,
        bound=weighed.lower_bound(),
    )
    if outcome.score.violation > 0:
        why = task.reasons(outcome, one_split=False)
        raise InfeasibleError(why.lines) if why.proven else NotFoundError(why.lines)
    # The figures are those of the plan itself: the bytes to load are in the search's cost only.
    outcome = replace(outcome, score=problem.score(outcome.spans), bound=problem.lower_bound())
    label = f"replan ({outcome.winner or type(solver).__name__.lower()})"
    new = replace(task.plan(outcome, FoundBy("", seed)), solver=label)
    moves = moves_between(plan, new, request.model)
    loads: dict[str, float] = {}
    for move in moves:
        loads[move.node] = loads.get(move.node, 0.0) + move.n_bytes / _rate(load_bytes_per_s, move.node)
    return Replanned(new, moves, max(loads.values(), default=0.0))


def replan_at_once(
    plan: Plan, model: Any, cluster: Cluster | Request, /, *, lost: Sequence[str], time_limit: float
) -> Replanned:
    """The next plan within a fraction of a second, by annealing alone: for runs that wait for it.

    Parameters
    ----------
    plan, model, cluster, lost, time_limit
        As for `replan`.
    """
    return replan(plan, model, cluster, lost=lost, solver=Annealing(), time_limit=time_limit)


def _task(
    model: Any, cluster: Cluster | Request, workload: Workload | None, objective: Any, lost: Sequence[str]
) -> PipelineTask:
    """The question of the remaining nodes."""
    request = cluster if isinstance(cluster, Request) else Request(read_model(model), cluster)
    if model is not None and isinstance(cluster, Request):
        request = replace(request, model=read_model(model))
    request = _without(request if workload is None else replace(request, workload=workload), lost)
    wish = PIPELINE.wish(request, objective, None)
    return PipelineTask(Variant(replace(request, objective=wish.objective)), wish)


def _with_groups_of(plan: Plan, cluster: Cluster | Request, lost: Sequence[str]) -> Cluster | Request:
    """The nodes with the groups of the running plan that lost no member; of the others the rest stays single."""
    whole = [PlacedSpan(group.name, 0, 1) for group in plan.groups if not set(group.devices) & set(lost)]
    return asked_for(whole, cluster) if isinstance(cluster, Request) else cluster


def moves_between(old: Plan, new: Plan, model: Model) -> tuple[Move, ...]:
    """Return the blocks of `new` that their node does not hold in `old`."""
    held = _held(old)
    return tuple(
        Move(span.node, block, model.blocks[block].weight_bytes)
        for span in new.placement
        for block in range(span.start, span.stop)
        if (span.node, block) not in held
    )


def loading_s(plan: Plan, request: Request, load_bytes_per_s: float | Mapping[str, float]) -> np.ndarray:
    """Seconds (N, L) that each node needs to load each block: 0 for those that it holds in `plan`."""
    if plan.n_blocks != request.model.n_blocks:
        raise InputError(f"the plan is for {plan.n_blocks} blocks, the model has {request.model.n_blocks}", "plan")
    held = _held(plan)
    sizes = [block.weight_bytes for block in request.model.blocks]
    return np.array(
        [
            [0.0 if (name, b) in held else size / _rate(load_bytes_per_s, name) for b, size in enumerate(sizes)]
            for name in request.cluster.names
        ]
    )


def slower(tables: CostTables, seconds: np.ndarray) -> CostTables:
    """Tables whose blocks take so many seconds (N, L) more in every pass."""
    served = tables.rounds("throughput")
    served = replace(served, short_s=served.short_s + served.passes[:, None, None] * seconds)
    return replace(tables, decode_s=tables.decode_s + seconds, served=served)


def _held(plan: Plan) -> set[tuple[str, int]]:
    return {(span.node, block) for span in plan.placement for block in range(span.start, span.stop)}


def _rate(rates: float | Mapping[str, float], node: str) -> float:
    rate = rates if isinstance(rates, int | float) else rates.get(node, LOAD_BYTES_PER_S)
    if not rate > 0:
        raise InputError(f"expected a positive rate in bytes/s, got {rate}", f"load_bytes_per_s[{node}]")
    return float(rate)


def _without(request: Request, lost: Sequence[str]) -> Request:
    """Exclude the lost nodes; rules that name them fall with them."""
    here = [name for name in lost if name in request.cluster.names]
    if len(here) == request.cluster.n_nodes:
        raise InfeasibleError(["no node is left"])
    rules: Constraints = request.constraints
    return replace(
        request,
        constraints=replace(
            rules,
            exclude=tuple(dict.fromkeys([*rules.exclude, *here])),
            include=tuple(name for name in rules.include if name not in here),
            pins={block: node for block, node in rules.pins.items() if node not in here},
        ),
    )


def _patched(plan: Plan, request: Request, problem: PipelineProblem) -> np.ndarray:
    """Starts that keep every span of the running plan and give a lost one whole to one of the remaining nodes."""
    names, allowed = request.cluster.names, problem.tables.allowed
    ordered = sorted(plan.placement, key=lambda span: span.start)
    rows = []
    for heir in range(len(names)):
        spans = []
        for span in ordered:
            stays = span.node in names and bool(allowed[names.index(span.node), span.start])
            spans.append(Span(names.index(span.node) if stays else heir, span.start, span.stop))
        try:
            rows.append(problem.encode(spans))
        except ValueError:
            continue
    return np.array(rows, dtype=np.int64).reshape(-1, problem.genome_size)
