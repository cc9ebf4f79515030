"""Performance profiles, time to target, anytime curves: one list of points per solver each.

E. D. Dolan, J. J. More, "Benchmarking optimization software with performance profiles", Mathematical Programming 91,
2002, doi:10.1007/s101070100263.
R. M. Aiex, M. G. C. Resende, C. C. Ribeiro, "TTT plots", Optimization Letters 1, 2007, doi:10.1007/s11590-006-0031-4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..instances import Known
from .experiments import Record
from .gaps import at_seconds, by_cell, gap, references

Curve = list[tuple[float, float]]
Curves = dict[str, Curve]


def steps(values: Iterable[float], total: int) -> Curve:
    """Share of `total` that is at most x, for every x of `values`; infinite ones are never reached."""
    finite = sorted(value for value in values if np.isfinite(value))
    curve: Curve = []
    for count, value in enumerate(finite, 1):
        if curve and curve[-1][0] == value:
            curve[-1] = (value, count / total)
        else:
            curve.append((value, count / total))
    return curve


def performance(records: Sequence[Record], solvers: Sequence[str]) -> Curves:
    """Share of instances whose median cost is at most tau times the best of the solvers compared.

    Costs stand where Dolan and More have times: all solvers had the same seconds.
    """
    medians = {key: float(np.median([run.cost for run in runs])) for key, runs in by_cell(records).items()}
    instances = sorted({instance for instance, _ in medians})
    ratios: dict[str, list[float]] = {solver: [] for solver in solvers}
    for instance in instances:
        costs = {solver: medians.get((instance, solver), np.inf) for solver in solvers}
        best = min(costs.values())
        for solver, cost in costs.items():
            ratios[solver].append(max(1.0, cost / best) if np.isfinite(cost) else np.inf)
    return {solver: steps(values, len(instances)) for solver, values in ratios.items()}


def anytime(records: Sequence[Record], known: Mapping[str, Known], solvers: Sequence[str], points: int = 40) -> Curves:
    """Mean over instances and seeds of the gap to the best known, over seconds; no plan counts as a gap of 1."""
    best = references(records, known)
    longest = max((record.seconds for record in records), default=1.0)
    times = np.geomspace(min(0.02, longest / 10), longest, points)
    curves: Curves = {}
    for solver in solvers:
        runs = [record for record in records if record.solver == solver and record.status in ("ok", "infeasible")]
        if runs:
            curves[solver] = [
                (float(t), float(np.mean([min(1.0, gap(at_seconds(r, t), best[r.instance].cost)) for r in runs])))
                for t in times
            ]
    return curves


def time_to_target(
    records: Sequence[Record], known: Mapping[str, Known], solvers: Sequence[str], target: float = 0.005
) -> Curves:
    """Share of all runs that are within `target` of the best known after so many seconds."""
    best = references(records, known)
    curves: Curves = {}
    for solver in solvers:
        runs = [record for record in records if record.solver == solver and record.status in ("ok", "infeasible")]
        if runs:
            curves[solver] = steps((reached(run, best[run.instance].cost * (1 + target)) for run in runs), len(runs))
    return curves


def reached(record: Record, cost: float) -> float:
    """Seconds until a run has a placement of at most that cost; infinite if never."""
    return min((when for when, _, found, _ in record.points() if found <= cost * (1 + 1e-9)), default=np.inf)
