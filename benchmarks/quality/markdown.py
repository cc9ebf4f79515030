"""The tables as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from .gaps import Cell, Reference, Table


def percent(value: float) -> str:
    """A gap for people: 0, 0.13%, 12%, 340%."""
    if not np.isfinite(value):
        return "–"
    if value < 5e-7:
        return "0"
    points = 100 * value
    return f"{points:.2g}%" if points < 10 else f"{points:.0f}%"


def cell_text(cell: Cell | None) -> str:
    """Median / worst; what was not run or refused is a blank, what found nothing feasible a dash."""
    if cell is None or cell.refused:
        return ""
    if cell.infeasible == cell.runs:
        return "–"
    median, worst = percent(cell.median), percent(cell.worst)
    text = median if cell.runs == 1 or median == worst else f"{median} / {worst}"
    return f"{text} ({cell.infeasible} of {cell.runs} –)" if cell.infeasible else text


def rows(lines: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """A Markdown table, numbers to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines)) + "\n"


def gap_markdown(table: Table, solvers: Sequence[str], best: dict[str, Reference]) -> str:
    """Instance x solver, with how well the best known itself is proven."""
    lines = []
    for instance in sorted(table):
        reference = best[instance]
        left = reference.cost / reference.bound - 1 if reference.bound > 0 and np.isfinite(reference.cost) else np.inf
        known = "proven" if reference.proven else "unproven" if not np.isfinite(left) else f"≤ {percent(left)}"
        lines.append([instance, known, *(cell_text(table[instance].get(solver)) for solver in solvers)])
    return rows(lines, ["instance", "best known", *solvers])


def summary_markdown(table: Table, solvers: Sequence[str]) -> str:
    """By solver: in how many instances it is best, mean and worst of its median gaps."""
    lines = []
    for solver in solvers:
        cells = [row[solver] for row in table.values() if solver in row]
        ran = [cell for cell in cells if not cell.refused]
        found = [cell.median for cell in ran if np.isfinite(cell.median)]
        lines.append(
            [
                solver,
                str(len(ran)),
                str(sum(cell.median < 1e-6 for cell in ran)),
                str(sum(cell.proven == cell.runs for cell in ran)),
                percent(float(np.mean(found))) if found else "–",
                percent(max(found)) if found else "–",
                str(len(ran) - len(found)),
            ]
        )
    head = [
        "solver",
        "instances",
        "best known reached",
        "proven by itself",
        "mean gap",
        "worst gap",
        "nothing feasible",
    ]
    return rows(lines, head)


def gap_csv(table: Table) -> str:
    """One line per instance and solver."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["instance", "solver", "runs", "median_gap", "worst_gap", "infeasible_runs", "refused", "proven"])
    for instance in sorted(table):
        for solver, cell in sorted(table[instance].items()):
            row = (cell.runs, cell.median, cell.worst, cell.infeasible, int(cell.refused), cell.proven)
            writer.writerow([instance, solver, *row])
    return out.getvalue()
