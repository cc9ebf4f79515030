"""Gaps: how far each run is from the best proven bound, or from the best known placement where none is proven."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..instances import Known
from .experiments import Record

TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Reference:
    """What runs of an instance are compared with.

    Attributes
    ----------
    cost : float
        Least cost of a feasible placement that anybody found; infinite when nobody did.
    bound : float
        Largest proven bound.
    """

    cost: float
    bound: float

    @property
    def proven(self) -> bool:
        """True when they meet."""
        return bool(np.isfinite(self.cost) and self.cost <= self.bound * (1 + TIE))


def references(records: Iterable[Record], known: Mapping[str, Known]) -> dict[str, Reference]:
    """Best cost and bound by instance, from all the runs and from what is known."""
    best = {name: Reference(item.cost, item.bound) for name, item in known.items()}
    for record in records:
        old = best.get(record.instance, Reference(np.inf, -np.inf))
        best[record.instance] = Reference(min(old.cost, record.cost), max(old.bound, record.bound))
    return best


def gap(cost: float, reference: float) -> float:
    """Relative gap, 0 is as good as the reference; infinite where nothing feasible was found."""
    if not np.isfinite(cost):
        return float("inf")
    return max(0.0, cost / reference - 1.0) if reference > 0 else float(cost > reference)


@dataclass(frozen=True, slots=True)
class Cell:
    """One solver on one instance: over the seeds, gaps to the best known and runs that failed."""

    median: float
    worst: float
    infeasible: int
    runs: int
    refused: bool
    proven: int


Table = dict[str, dict[str, Cell]]


def by_cell(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Records by instance and solver."""
    cells: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        cells.setdefault((record.instance, record.solver), []).append(record)
    return cells


def gap_table(records: list[Record], known: Mapping[str, Known]) -> Table:
    """Gaps to the best known cost: instance -> solver -> cell."""
    best = references(records, known)
    table: Table = {}
    for (instance, solver), runs in by_cell(records).items():
        gaps = sorted(gap(run.cost, best[instance].cost) for run in runs)
        table.setdefault(instance, {})[solver] = Cell(
            median=float(np.median(gaps)) if np.isfinite(gaps).all() else gaps[len(gaps) // 2],
            worst=gaps[-1],
            infeasible=sum(run.status == "infeasible" for run in runs),
            runs=len(runs),
            refused=all(run.status in ("refused", "failed") for run in runs),
            proven=sum(run.status == "ok" and run.bound >= run.cost * (1 - TIE) for run in runs),
        )
    return table


def at_seconds(record: Record, seconds: float) -> float:
    """Cost of a run's best placement after that many seconds; infinite before the first."""
    return min((cost for when, _, cost, _ in record.points() if when <= seconds), default=np.inf)


def at_evaluations(record: Record, evaluations: float) -> float:
    """Cost of a run's best placement after that many evaluations."""
    return min((cost for _, count, cost, _ in record.points() if count <= evaluations), default=np.inf)


def equal_evaluations(records: list[Record], solvers: list[str]) -> dict[str, int]:
    """By instance the evaluations that every one of the solvers reached: the view at equal evaluations."""
    least: dict[str, int] = {}
    for record in records:
        early = record.stopped_by in ("OPTIMAL", "EXHAUSTED")
        if record.solver in solvers and record.status in ("ok", "infeasible") and not early:
            least[record.instance] = min(least.get(record.instance, record.evaluations), record.evaluations)
    return least


def view(records: list[Record], known: Mapping[str, Known], solvers: list[str]) -> Table:
    """The gap table of search solvers at equal evaluations."""
    least, best = equal_evaluations(records, solvers), references(records, known)
    table: Table = {}
    for (instance, solver), runs in by_cell(records).items():
        if solver in solvers and instance in least:
            gaps = sorted(gap(at_evaluations(run, least[instance]), best[instance].cost) for run in runs)
            lost = sum(not np.isfinite(item) for item in gaps)
            refused = all(run.status in ("refused", "failed") for run in runs)
            table.setdefault(instance, {})[solver] = Cell(gaps[len(gaps) // 2], gaps[-1], lost, len(runs), refused, 0)
    return table


def proven_gaps(records: Iterable[Record], solver: str) -> dict[str, float]:
    """By instance the mean over the seeds of the gap that the solver itself proved; infinite without plan or bound."""
    cells = by_cell(record for record in records if record.solver == solver and record.status in ("ok", "infeasible"))
    return {
        instance: float(np.mean([gap(run.cost, run.bound) if run.bound > 0 else np.inf for run in runs]))
        for (instance, _), runs in sorted(cells.items())
    }


def duels(records: Iterable[Record], ours: str, theirs: Iterable[str]) -> dict[str, tuple[int, int, list[str]]]:
    """By rival how often our median cost is lower, equal (to a millionth), and the instances where it is higher.

    Instances that the rival refused do not count; those where only one of both found something feasible do.
    """
    medians = {
        key: float(np.median([run.cost for run in runs]))
        for key, runs in by_cell(r for r in records if r.status in ("ok", "infeasible")).items()
    }
    found: dict[str, tuple[int, int, list[str]]] = {}
    for rival in theirs:
        pairs = {
            instance: (medians[instance, ours], cost)
            for (instance, solver), cost in medians.items()
            if solver == rival and (instance, ours) in medians
        }
        won = sum(mine < cost * (1 - TIE) for mine, cost in pairs.values())
        lost = sorted(name for name, (mine, cost) in pairs.items() if cost < mine * (1 - TIE))
        found[rival] = (won, len(pairs) - won - len(lost), lost)
    return found
