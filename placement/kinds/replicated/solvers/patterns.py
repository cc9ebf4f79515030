"""The pattern program of replicated placements: a bound on every placement, and the best staged one.

Fix a flow F. A set of nodes whose rates sum to F is a *pattern*; links are left out, so what is proven holds with them.

- Every placement, under either edge rule, with spans that line up or not: each block has holders whose rates sum to F
  at least, as every token crosses it on one of them, and a node that holds k blocks is a k-th of each. So the patterns
  of single blocks, in any proportion, must make L blocks of the nodes there are: a linear program by column generation.
- Staged placements (nodes in groups, a group's nodes hold the same blocks): whole patterns, stages of k blocks that sum
  to L: an integer program over all patterns whose reduced cost does not rule them out.

The largest F of each is found by bisection; a solution goes up to its scarcest pattern at once, so the last step is
exact. Cutting stock is the same in other words (P. C. Gilmore, R. E. Gomory, Operations Research 9(6), 1961,
doi:10.1287/opre.9.6.849). Proofs are floating-point proofs within the tolerances of HiGHS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from objectives.replicated.flow_bounds import capped_bound
from objectives.replicated.tables import IntArray
from placement.search.problem import Problem
from placement.search.solver import NotApplicableError, Proposal

from ..problem import ReplicatedProblem
from .pattern_columns import Column, Kinds, all_stages, kinds_of, price_block, price_stages, pure
from .pattern_model import Relaxed, choose, relax

SURE = 1e-9  # relative, of what the linear programs say
CLOSE, FINE = 1e-4, 2e-10  # relative: where bisection ends and single steps begin, and such a step


@dataclass(frozen=True)
class Patterns:
    """Hyper-parameters.

    Attributes
    ----------
    most_work : int
        Largest problem: nodes times blocks that a node can hold.
    most_columns : int
        Patterns of stages in an integer program at most; without all of them it proves nothing.
    """

    most_work: int = 40_000
    most_columns: int = 20_000

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield bounds on all placements, then staged placements until the best of them is found."""
        replicated = self.applicable(problem)
        # Imports of seconds, before anybody waits for an answer.
        yield Proposal(start[:1], 1)
        kinds = kinds_of(replicated.tables)
        if not kinds.members:
            return
        costs, broken = replicated.evaluate(start)
        weight = replicated.objective.weights["flow"]
        known = max((weight / cost for cost, bad in zip(costs, broken, strict=True) if bad == 0), default=0.0)
        task = _Task(replicated, kinds, self.most_columns, capped_bound(replicated.tables))
        yield from task.everywhere(known)
        yield from task.staged()

    def applicable(self, problem: Problem) -> ReplicatedProblem:
        """Return the problem when the program covers it."""
        if not isinstance(problem, ReplicatedProblem):
            raise NotApplicableError("patterns works on replicated placements only")
        if problem.objective.single != "flow" or problem.objective.pareto:
            raise NotApplicableError("patterns works on the objective flow only")
        if problem.tables.rate.size > self.most_work:
            raise NotApplicableError(
                f"the pattern program is for nodes times blocks on a node up to {self.most_work}, "
                f"these are {problem.tables.rate.size}"
            )
        try:
            import highspy  # noqa: F401
            import pyomo.environ  # noqa: F401
        except ImportError as error:
            raise NotApplicableError(f"patterns needs the packages pyomo and highspy ({error})") from None
        return problem


@dataclass
class _Program:
    """A relaxation at one flow after the other; patterns are kept as long as they carry the flow."""

    kinds: Kinds
    blocks: int
    most_stages: int | None
    stages: bool
    columns: list[Column] = field(default_factory=list)

    def price(self, flow: float, dual: Relaxed) -> tuple[float, list[Column]]:
        if self.stages:
            return price_stages(self.kinds, flow, dual.dual, dual.per_stage)
        return price_block(self.kinds, flow, dual.dual)

    def solve(self, flow: float) -> tuple[bool, Relaxed]:
        """Return whether patterns of this flow may make all blocks, and the last solution.

        False is proven: with duals u >= 0 and theta the least of cost over gain, no more than u . nodes / theta blocks.
        """
        count = self.kinds.count
        kept = [column for column in self.columns if column.coverage >= flow * (1.0 - SURE)]
        self.columns = list(dict.fromkeys([*kept, *pure(self.kinds, flow, stages=self.stages)]))
        # Without a pattern, nodes of no use cost a hair: whatever carries the flow is found.
        dual = Relaxed(0.0, np.zeros(0), np.full(len(count), 1e-9), 0.0)
        while True:
            if self.columns:
                dual = relax(self.columns, count, self.most_stages)
            able = dual.value >= self.blocks * (1.0 - SURE)
            if able and not self.stages:
                return True, dual  # stages need the optimum: its duals say which patterns can be left out
            theta, new = self.price(flow, dual)
            if self.columns and theta > 0.0 and not able:
                most = (float(count @ dual.dual) + dual.per_stage * (self.most_stages or 0)) / theta
                if most < self.blocks * (1.0 - SURE):
                    return False, dual
            fresh = [column for column in new if column not in self.columns]
            if not fresh:
                # No pattern at all is a proof; else rounding has the last word, and it proves nothing.
                return bool(self.columns), dual
            self.columns += fresh


@dataclass
class _Task:
    """One problem being solved."""

    problem: ReplicatedProblem
    kinds: Kinds
    most_columns: int
    bound: float
    stage_bound: float = 0.0

    @property
    def most_stages(self) -> int | None:
        limit = self.problem.tables.max_stages
        return limit if limit < self.problem.tables.n_nodes else None

    def everywhere(self, known: float) -> Iterator[Proposal]:
        """Lower the bound on all placements to the least that the relaxation proves; `known` is a flow of one."""
        program = _Program(self.kinds, self.problem.tables.n_blocks, None, False)

        def reach(flow: float) -> tuple[float, None]:
            able, found = program.solve(flow)
            return (_scarcest(program, found) if able else 0.0), None

        for _, high, _ in bisect(reach, known, self.bound, known * (1.0 + FINE)):
            self.bound = high
            yield self.proposal(None)

    def staged(self) -> Iterator[Proposal]:
        """Raise the flow of whole stages, and lower what they can reach, until they meet or a program is too large."""
        self.stage_bound = self.bound
        program = _Program(self.kinds, self.problem.tables.n_blocks, self.most_stages, True)
        for _, _, genome in bisect(lambda flow: self.stages_at(program, flow), 0.0, self.bound, self.bound):
            yield self.proposal(genome)

    def stages_at(self, program: _Program, flow: float) -> tuple[float, IntArray | None]:
        """Stages that carry `flow`; when it is proven that there are none, that is noted as a bound."""
        able, found = program.solve(flow)
        if not able:
            self.stage_bound = min(self.stage_bound, flow)
            return 0.0, None
        # The few patterns of the relaxation often do; all that may be part of a solution are asked when they don't.
        clear, stages = choose(program.columns, self.kinds.count, self.most_stages, program.blocks)
        if stages is None and (every := self.columns(program, flow, found)):
            clear, stages = choose(every, self.kinds.count, self.most_stages, program.blocks)
            if clear and stages is None:
                self.stage_bound = min(self.stage_bound, flow)
        return (0.0, None) if stages is None else (min(stage.coverage for stage in stages), self.genome(stages))

    def columns(self, program: _Program, flow: float, found: Relaxed) -> list[Column]:
        """All patterns that a solution may contain, none when they are too many.

        A pattern's reduced cost is what it loses against the relaxation's blocks, which exceed the model's by so much.
        """
        value = float(self.kinds.count @ found.dual) + found.per_stage * (self.most_stages or 0)
        slack = max(0.0, value - program.blocks) + 1e-6
        return all_stages(self.kinds, flow, found.dual, found.per_stage, slack, self.most_columns) or []

    def proposal(self, genome: IntArray | None) -> Proposal:
        """The bound as a cost, the placement, and in words what was proven."""
        weight, size = self.problem.objective.weights["flow"], self.problem.genome_size
        genomes = np.zeros((0, size), dtype=np.int64) if genome is None else genome[None, :]
        remark = f"no placement carries more than {self.bound:.6g} tokens/s"
        if self.stage_bound > 0:
            remark += f", none in stages more than {self.stage_bound:.6g}"
        return Proposal(genomes, len(genomes), weight / self.bound, "patterns", f"{remark} (links left out)")

    def genome(self, stages: list[Column]) -> IntArray:
        """Spans of stages, in the order given; nodes of a kind in the cluster's order."""
        n, at = self.problem.tables.n_nodes, 0
        genome = np.zeros(2 * n, dtype=np.int64)
        left = [nodes.tolist() for nodes in self.kinds.members]
        for stage in stages:
            for kind, number in enumerate(stage.use):
                for _ in range(round(number)):
                    node = left[kind].pop(0)
                    genome[node], genome[n + node] = at, at + stage.gain
            at += stage.gain
        return genome


def _scarcest(program: _Program, found: Relaxed) -> float:
    """Tokens/s of the scarcest pattern of a solution: it solves the program at that flow as well."""
    used = [c.coverage for c, weight in zip(program.columns, found.weights, strict=True) if weight > SURE]
    return min(used, default=0.0)


def bisect(
    reach: Callable[[float], tuple[float, IntArray | None]], low: float, high: float, flow: float
) -> Iterator[tuple[float, float, IntArray | None]]:
    """Yield (what was reached, what cannot be exceeded, genome) until they meet; `flow` is asked about first.

    `reach` returns the flow that a solution at the given flow carries, at least that flow, or 0 when there is none.
    """
    high *= 1.0 + FINE
    while low < high * (1.0 - 2.0 * FINE):
        flow = flow if low < flow < high else (low + high) / 2.0
        carried, genome = reach(flow)
        if carried > 0.0:
            low = max(flow, carried)
        else:
            high = flow
        yield low, high, genome
        flow = low * (1.0 + FINE) if low >= high * (1.0 - CLOSE) else (low + high) / 2.0
