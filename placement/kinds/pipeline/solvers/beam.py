"""Beam search guided by the Lagrangian bound, with ever wider beams; strong where links differ.

The bound's multipliers say what each node is worth to the rest of a pipeline, so a partial pipeline is ranked by what
it costs and what its best completion is proven to cost at least. After P. S. Ow, T. E. Morton, "Filtered beam search in
scheduling", Int. J. Production Research 26(1), 1988, doi:10.1080/00207548808947840.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from objectives.pipeline.additive import ADDITIVE, Additive, Limit, round_cost, step_cost, term_cost, weighted_cost
from objectives.pipeline.bounds import rate_name
from objectives.pipeline.node_types import Busy, Caps, stage_data
from objectives.pipeline.relaxation import Relaxation, Relaxed
from objectives.pipeline.rounds import Rounds
from objectives.pipeline.tables import CostTables
from placement.search.problem import Problem
from placement.search.solver import IntArray, NotApplicableError, Proposal

from ..kernels.beam import Beams, beams, extend_beams
from ..problem import PipelineProblem

ROUND_STEPS = 4_000_000
ENDS = 8  # answers to a question about a rate that are scored


@dataclass(frozen=True)
class Beam:
    """Hyper-parameters.

    Attributes
    ----------
    width : int
        Labels per node and cut at first; doubles with every sweep.
    most_labels : float
        Nodes x cuts x width at most, where the search ends.
    steps : int
        Subgradient steps for the multipliers.
    """

    width: int = 4
    most_labels: float = 8e6
    steps: int = 200

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Sweep with wider and wider beams."""
        if not isinstance(problem, PipelineProblem) or not problem.compiled or not problem.tables.contiguous:
            raise NotApplicableError("beam needs contiguous pipelines and a built-in objective")
        tables = problem.tables
        yield Proposal(start[:1], 1)
        # A rate knows how many stages there are, which its additive questions do not: their best answers are scored.
        ends = ENDS if rate_name(problem.objective) in problem.objective.weights else 1
        best, width = start[0], self.width
        relaxation = Relaxation(tables, len(tables.ties))
        while width * tables.n_nodes * (tables.n_blocks + 1) <= self.most_labels:
            for cost, caps in _questions(problem, best):
                for genome in _sweep(problem, relaxation, cost, caps, width, self.steps, ends):
                    if genome is not None and _better(problem, genome, best):
                        best = genome
                    yield Proposal(best[None, :], 1)
            width *= 2


def _better(problem: PipelineProblem, genome: IntArray, than: IntArray) -> bool:
    costs, violations = problem.evaluate(np.stack([genome, than]))
    return (float(violations[0]), float(costs[0])) < (float(violations[1]), float(costs[1]))


def _questions(problem: PipelineProblem, best: IntArray) -> Iterator[tuple[Additive, Caps]]:
    """Additive questions whose answers are good: the sums, and steps whose stages are less busy than the best's."""
    tables, weights = problem.tables, problem.objective.weights
    sums = weighted_cost(tables, weights)
    name = rate_name(problem.objective)
    rate, peak = weights.get(name, 0.0), weights.get("bottleneck", 0.0)
    rates, steps = tables.rounds(name), tables.rounds("decode_rate")
    if not rate and not peak:
        yield sums, Caps()
        return
    terms, _ = problem.details(problem.decode(best))
    for part in (0.999, 0.9):
        caps = [Busy(steps, 0, 0, part * terms.values["bottleneck"])] if peak else []
        if not rate:
            yield sums + step_cost(tables, 0) * (1e-3 * peak), Caps(1, tuple(caps))
            continue
        for size, batch in enumerate(tables.batches.tolist()):
            if size == 0 or batch <= tables.concurrency:
                for wanted in _flights(tables, rates, batch, terms.in_flight):
                    busy = (*caps, Busy(rates, size, size, part * terms.values[name]))
                    trip = round_cost(tables, rates, (size, size), wanted)
                    yield sums + trip * (rate / wanted), Caps(wanted, busy)


def _flights(tables: CostTables, rates: Rounds, batch: int, in_flight: int) -> list[int]:
    """Sequences under way that are worth a question: as the best plan has them, as many as wanted, of stages a few."""
    if not rates.staged:
        return sorted({max(batch, min(tables.concurrency, in_flight)), tables.concurrency})
    most = min(tables.concurrency // batch, tables.stage_limit)
    counts = {most, *range(1, 5), *(2**k for k in range(3, 10))}
    return sorted(batch * groups for groups in counts if groups <= most)


def _sweep(
    problem: PipelineProblem, relaxation: Relaxation, cost: Additive, caps: Caps, width: int, steps: int, ends: int
) -> Iterator[IntArray | None]:
    """One sweep of a beam; yields None between rounds and at last the best pipelines found."""
    tables, limits = problem.tables, problem.objective.limits
    names = [name for name in ADDITIVE if name in limits]
    bounded = tuple(Limit(term_cost(tables, name), limits[name]) for name in names)
    multipliers = relaxation.fresh()
    if relaxation.bound(Relaxed(cost, caps, bounded), multipliers, steps) == np.inf:
        return
    yield None
    mixed = cost
    for limit, price in zip(bounded, [] if multipliers.limit is None else multipliers.limit.tolist(), strict=False):
        mixed = mixed + limit.cost * (price / limit.most)
    paid = multipliers.use + multipliers.node
    relaxation.walk(mixed, caps, paid)
    singles = tuple(np.array([node]) for node in range(tables.n_nodes))
    d = stage_data(tables, singles, mixed, caps)
    kind, twin = np.empty(tables.n_nodes, np.int64), np.full(tables.n_nodes, -1, np.int64)
    for t, nodes in enumerate(relaxation.members):
        kind[nodes] = t
        twin[nodes[1:]] = nodes[:-1]
    found = beams(tables.n_nodes, tables.n_blocks, width, ends)
    stop, cutoff = tables.n_blocks, np.inf
    before = np.ascontiguousarray(relaxation.walks.best[0])
    effort = ROUND_STEPS * 8 // (8 + width)
    while stop > 0:
        stop, cutoff = extend_beams(found, d, kind, twin, paid, before, stop, effort, cutoff)
        yield None
    for total, *first in sorted(found.ends.tolist()):
        if np.isfinite(total):
            yield _genome(found, tuple(map(int, first)), tables.n_blocks, problem.width)


def _genome(found: Beams, first: tuple[int, ...], n_blocks: int, width: int) -> IntArray:
    node, stop, place = first
    genome = np.zeros(1 + 2 * width, dtype=np.int64)
    while True:
        genome[0] += 1
        genome[genome[0]] = node
        genome[width + genome[0]] = stop
        source, source_place = found.parent[node, stop, place].tolist()
        if source < 0:
            return genome
        node, stop, place = source // (n_blocks + 1), source % (n_blocks + 1), source_place
