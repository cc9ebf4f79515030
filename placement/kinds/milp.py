"""Mixed-integer programming for every kind that has a model: pipelines, and flows of replicated placements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..search.problem import Problem
from ..search.solver import IntArray, NotApplicableError, Proposal
from .pipeline.problem import PipelineProblem
from .pipeline.solvers.milp import PipelineMilp, ensure_installed
from .replicated.problem import ReplicatedProblem
from .replicated.solvers.milp_flow import search_flow


@dataclass(frozen=True)
class Milp:
    """Hyper-parameters.

    Attributes
    ----------
    most_hops : int
        Largest model of pipelines: pairs of places times cuts.
    presolve : bool
        Let HiGHS simplify models of pipelines first. That cannot be interrupted; replicated ones always are.
    most_columns : int
        Largest model of replicated placements.
    warm_rounds : int
        Rounds of the metaheuristic from whose best plan a replicated placement begins.
    """

    most_hops: int = 150_000
    presolve: bool = False
    most_columns: int = 150_000
    warm_rounds: int = 60

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield incumbents and bounds until the optimum is proven."""
        if isinstance(problem, PipelineProblem):
            yield from PipelineMilp(self.most_hops, self.presolve).search(problem, rng, start)
        elif isinstance(problem, ReplicatedProblem):
            ensure_installed()
            yield from search_flow(problem, rng, start, most_columns=self.most_columns, warm_rounds=self.warm_rounds)
        else:
            raise NotApplicableError("milp needs a pipeline problem or a replicated one")
