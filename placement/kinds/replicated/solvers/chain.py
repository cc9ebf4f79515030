"""One node per stage: what replicated placements are compared with where nodes are few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from objectives.replicated.tables import IntArray
from placement.search.problem import Problem
from placement.search.solver import NotApplicableError, Proposal

from ..problem import ReplicatedProblem
from ..starts import chain


@dataclass(frozen=True)
class Chain:
    """One node per stage: the largest F with sum over nodes of max{k : rate(k) >= F} >= L."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Yield one placement, or the first start where there are more nodes than a chain may have."""
        if not isinstance(problem, ReplicatedProblem):
            raise NotApplicableError("this yardstick makes replicated placements only")
        genome = chain(problem)
        yield Proposal((start[0] if genome is None else genome)[None, :], 1)
