# %% [markdown]
# # A solver of your own
#
# A solver is a frozen value with one method, a generator: it yields genomes, and is told how far the search is. Counting, the best
# so far, the trace and the clock are the loop's. This one throws dice around the best placement that it has seen.

# %%
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import placement
from placement import optimize
from placement.search.problem import Problem
from placement.search.solver import IntArray, Proposal, kicked

ROOT = Path(placement.__file__).parents[1]


@dataclass(frozen=True)
class Dice:
    """So many neighbours of the best placement at a time, each a few moves away."""

    children: int = 64

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Throw for ever."""
        pool = start
        while True:
            costs, violations = problem.evaluate(pool)
            best = pool[np.lexsort((costs, violations))[0]]  # what fits comes before what is cheap
            yield Proposal(best[None, :].copy(), len(pool))
            pool = np.stack(
                [best, *(kicked(problem, best, rng, int(rng.integers(1, 4))) for _ in range(self.children))]
            )


# %%
for solver in (Dice(), "auto"):
    result = optimize(None, ROOT / "examples" / "home_lab.yaml", solver=solver, time_limit=2)
    print(f"{result.plan.solver}: {result.plan.objective.value:.2f} tokens/s, {result.stopped_by.value}")

# %% [markdown]
# A package that registers it under the entry point group `placement.solvers` has it in `--solver`; `placement.testing.SolverContract` is the
# test to inherit.
