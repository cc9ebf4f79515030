"""The table of docs/milp.md: what `exact`, `milp` and `milp` with presolve prove in equal time, family by family.

Run from the repository: ``python -m benchmarks.quality.milp_table [--seconds 10] [--names geo,limits] [--workers 0]``.
One seed: none of them draws random numbers. Counted as proven: a bound within a millionth of the cost.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from placement.kinds.milp import Milp
from placement.kinds.pipeline.solvers.exact import Exact
from placement.search.solver import NotApplicableError

from ..instances import Instance, load
from .experiments import problem_of, search
from .gaps import TIE, gap
from .markdown import percent, rows
from .pool import cores, processes

SOLVERS = {"exact": Exact(), "milp": Milp(), "milp, presolve": Milp(presolve=True)}


@dataclass(frozen=True, slots=True)
class Try:
    """One run: seconds that it took, the gap that it proved; None where the solver refused."""

    family: str
    instance: str
    solver: str
    seconds: float
    gap: float | None

    @property
    def proven(self) -> bool:
        """True when cost and bound meet."""
        return self.gap is not None and self.gap <= TIE


def attempt(instance: Instance, solver: str, seconds: float) -> Try:
    """Run one solver on one instance."""
    problem = problem_of(instance.request)
    try:
        found = search(problem, SOLVERS[solver], 0, seconds)
    except NotApplicableError:
        return Try(instance.family, instance.name, solver, 0.0, None)
    left = gap(found.score.cost, found.bound) if found.score.violation == 0 and found.bound > 0 else np.inf
    return Try(instance.family, instance.name, solver, found.seconds, left)


def table(tries: list[Try]) -> str:
    """By family: proven of tried, with the mean seconds of those, and the mean gap of the rest."""
    lines = []
    for family in sorted({item.family for item in tries}):
        line = [family]
        for solver in SOLVERS:
            own = [item for item in tries if (item.family, item.solver) == (family, solver)]
            tried = [item for item in own if item.gap is not None]
            good = [item.seconds for item in tried if item.proven]
            rest = [item.gap for item in tried if not item.proven and item.gap is not None and np.isfinite(item.gap)]
            text = f"{len(good)} of {len(tried)}" if tried else ""
            text += f", {np.mean(good):.1f} s" if good else ""
            line.append(text + (f", else {percent(float(np.mean(rest)))}" if rest else ""))
        lines.append(line)
    totals = [str(sum(item.proven for item in tries if item.solver == solver)) for solver in SOLVERS]
    return rows([*lines, ["all proven", *totals]], ["family", *SOLVERS])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", default="")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    todo = [
        (instance, solver)
        for instance in load(names=tuple(filter(None, given.names.split(","))))
        for solver in SOLVERS
        if instance.family != "swarm"  # served throughput: neither applies
    ]
    tries = []
    with processes(given.workers or cores()) as pool:
        futures = [pool.submit(attempt, instance, solver, given.seconds) for instance, solver in todo]
        for future in futures:
            tries.append(future.result())
            print(tries[-1], flush=True)
    print(table(tries))


if __name__ == "__main__":
    main()
