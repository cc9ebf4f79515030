"""From records to files: CSV, Markdown, one page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from placement.files import write_atomic

from ..instances import Known
from ..rivals import RIVALS
from . import charts, gaps, markdown, profiles
from .experiments import Record, is_random
from .page import Section, page
from .ranking import Ranking, rank

OURS = "auto"
LEAST, MOST = 1e-4, 1.0  # gaps that charts show


def write(records: list[Record], known: Mapping[str, Known], solvers: Sequence[str], out: Path) -> list[Path]:
    """Write everything into a folder; return the files."""
    table, best = gaps.gap_table(records, known), gaps.references(records, known)
    searching = [solver for solver in solvers if is_random(solver)]
    fair = gaps.view(records, known, searching)
    whole = ranked(records, solvers)
    curves = {
        "profile": profiles.performance(records, solvers),
        "anytime": profiles.anytime(records, known, whole),
        "time_to_target": profiles.time_to_target(records, known, whole),
    }
    ranking = rank(records, whole)
    sections = [
        *_tables(table, fair, best, solvers, searching),
        *_proofs(records),
        *_duels(records, solvers),
        *_ranks(ranking),
    ]
    files = {
        "gaps.md": "\n".join(f"## {part.heading}\n\n{part.text}\n\n{part.table}" for part in sections if part.table),
        "gaps.csv": markdown.gap_csv(table),
        "gaps_equal_evaluations.csv": markdown.gap_csv(fair),
        **{f"{name}.csv": curves_csv(lines) for name, lines in curves.items()},
        "bench.html": page("Solvers compared", [*sections, *_charts(curves)]),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomic(out / name, content)
    return [out / name for name in files]


def ranked(records: Sequence[Record], solvers: Sequence[str]) -> list[str]:
    """Solvers that attempted nearly all instances: ranks need the same instances for all."""
    tried = {(r.solver, r.instance) for r in records if r.status in ("ok", "infeasible")}
    total = len({record.instance for record in records})
    return [name for name in solvers if sum(solver == name for solver, _ in tried) >= 0.9 * total]


def _tables(
    table: gaps.Table,
    fair: gaps.Table,
    best: dict[str, gaps.Reference],
    solvers: Sequence[str],
    searching: Sequence[str],
) -> list[Section]:
    return [
        Section(
            "By solver",
            "Of the median over the seeds of each instance, at equal seconds.",
            table=markdown.summary_markdown(table, solvers),
        ),
        Section(
            "Gap to the best known, equal seconds",
            "Median / worst over the seeds; a dash is nothing feasible, a blank not attempted. The second column says "
            "how well the best known is proven.",
            table=markdown.gap_markdown(table, solvers, best),
        ),
        Section(
            "Gap to the best known, equal evaluations",
            "Each instance at the number of placements that the slowest of its runs scored, starts included."
            if fair
            else "No two searches to compare.",
            table=markdown.gap_markdown(fair, searching, best) if fair else "",
        ),
    ]


def _proofs(records: list[Record]) -> list[Section]:
    """What `auto` proves by itself; nothing where it did not run."""
    proven = gaps.proven_gaps(records, OURS)
    if not proven:
        return []
    known = [value for value in proven.values() if np.isfinite(value)]
    open_ones = sorted(((value, name) for name, value in proven.items() if not value < 1e-6), reverse=True)
    mean = markdown.percent(float(np.mean(known))) if known else "–"
    text = (
        f"Mean over the {len(known)} instances with a plan and a bound: {mean}; proven optimal: "
        f"{sum(value < 1e-6 for value in known)}. The rest, the mean over the seeds (a dash: no plan or no bound)."
    )
    lines = [[name, markdown.percent(value)] for value, name in open_ones]
    return [Section(f"What {OURS} proves", text, table=markdown.rows(lines, ["instance", "proven gap"]))]


def _duels(records: list[Record], solvers: Sequence[str]) -> list[Section]:
    """Ours against each rival."""
    theirs = [name for name in solvers if name in RIVALS]
    found = gaps.duels(records, OURS, theirs)
    total = sum(won + equal + len(lost) for won, equal, lost in found.values())
    if not total:
        return []
    good = sum(won + equal for won, equal, _ in found.values())
    lines = [
        [rival, str(won), str(equal), str(len(lost)), ", ".join(lost) or "–"]
        for rival, (won, equal, lost) in found.items()
    ]
    head = ["rival", f"{OURS} better", "equal", "rival better", "where the rival is better"]
    text = f"By median cost at equal seconds. {OURS} is no worse in {100 * good / total:.1f}% of {total} pairs."
    return [Section(f"{OURS} against the rivals", text, table=markdown.rows(lines, head))]


def _ranks(ranking: Ranking | None) -> list[Section]:
    if ranking is None:
        return [Section("Ranks", "Too few instances or solvers, or scipy and scikit-posthocs are missing.")]
    lines = [[name, f"{value:.2f}"] for name, value in zip(ranking.solvers, ranking.ranks, strict=True)]
    text = (
        f"Average ranks over {ranking.instances} instances (Friedman p = {ranking.p_value:.2g}); ranks that differ by "
        f"less than {ranking.critical_difference:.2f} are not told apart at 5% (Nemenyi)."
    )
    found = [Section("Ranks", text, table=markdown.rows(lines, ["solver", "average rank"]))]
    if charts.can_draw():
        found.append(Section("Critical differences", "Joined: not told apart.", drawing=charts.differences(ranking)))
    return found


def _charts(curves: Mapping[str, profiles.Curves]) -> list[Section]:
    if not charts.can_draw():
        return [Section("Charts", "Charts need matplotlib: pip install 'llm-placement[bench]'.")]
    gaps_shown = {
        name: [(100 * (ratio - 1), share) for ratio, share in curve if ratio - 1 <= MOST]
        for name, curve in curves["profile"].items()
    }
    timed = [x for curve in (*curves["anytime"].values(), *curves["time_to_target"].values()) for x, _ in curve]
    names = tuple(curves["profile"])
    seconds = charts.Axis("seconds", 0.01, max([0.1, *timed]), log=True)
    means = {name: [(x, 100 * y) for x, y in curve] for name, curve in curves["anytime"].items()}
    profile = charts.chart(
        gaps_shown,
        charts.Axis("above the best solver, %", 100 * LEAST, 100 * MOST, log=True),
        charts.Axis("share of instances", 0.0, 1.0),
        stairs=True,
        names=names,
    )
    target = charts.chart(
        curves["time_to_target"], seconds, charts.Axis("share of runs", 0.0, 1.0), stairs=True, names=names
    )
    anytime = charts.chart(
        means, seconds, charts.Axis("mean gap, %", 100 * LEAST, 100.0, log=True), stairs=False, names=names
    )
    return [
        Section(
            "Performance profiles",
            "Share of instances whose cost is at most so far above that of the best solver; at the left edge: equal.",
            drawing=profile,
        ),
        Section(
            "Time to target",
            "Share of runs that are within 0.5% of the best known. Solvers that attempted nearly all instances.",
            drawing=target,
        ),
        Section(
            "Anytime",
            "Mean gap to the best known; runs without a feasible plan count as 100%. Solvers that attempted nearly all "
            "instances.",
            drawing=anytime,
        ),
    ]


def curves_csv(curves: profiles.Curves) -> str:
    """One line per point."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["solver", "x", "y"])
    for solver, curve in curves.items():
        writer.writerows([solver, f"{x:.6g}", f"{y:.6g}"] for x, y in curve)
    return out.getvalue()
