"""What "auto" is for routes: the exact answer; where there is none, or no time for it, a search from what it found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from placement.search.problem import IntArray, Problem
from placement.search.solver import NotApplicableError, Proposals, Solver
from placement.search.solvers.annealing import Annealing
from placement.search.solvers.nsga2 import NSGA2

from .exact import Exact

EXACT_SHARE = 0.7  # of the time limit
FRONTS = NSGA2(population=60, moves=2, brood=10)  # scores of chains are far cheaper than sorting


@dataclass(frozen=True)
class RoutesPortfolio:
    """No hyper-parameters."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Proposals:
        """The exact answer if it comes in time."""
        found, reason = start, "the exact answer took too long"
        try:
            for proposal in Exact().search(problem, rng, start):
                found = np.concatenate([proposal.genomes, found])
                progress = yield replace(proposal, solver="exact")
                done = proposal.whole_front is not None or proposal.bound > -np.inf
                if not done and progress is not None and progress.share > EXACT_SHARE:
                    break
            else:
                return
        except NotApplicableError as error:
            reason = str(error)
        name, solver = _searcher(problem)
        for proposal in solver.search(problem, rng, found):
            yield replace(proposal, solver=name, remark=f"searched, not proven: {reason}")


def _searcher(problem: Problem) -> tuple[str, Solver]:
    return ("nsga2", FRONTS) if problem.objective.pareto else ("annealing", Annealing())
