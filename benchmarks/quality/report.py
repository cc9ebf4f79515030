"""From records to files: CSV, Markdown, one page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..instances import Known
from ..rivals import RIVALS
from . import gaps, markdown, profiles, svg
from .experiments import Record, is_random
from .page import page
from .ranking import Ranking, rank

Section = tuple[str, str, str]
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
        "gaps.md": "\n".join(f"## {heading}\n\n{text}\n\n{body}" for heading, text, body in sections if body[0] == "|"),
        "gaps.csv": markdown.gap_csv(table),
        "gaps_equal_evaluations.csv": markdown.gap_csv(fair),
        **{f"{name}.csv": curves_csv(lines) for name, lines in curves.items()},
        "bench.html": page("Solvers compared", [*sections, *_charts(curves)]),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_text(content, encoding="utf-8")
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
        ("By solver", "Of the median over the seeds of each instance, at equal seconds.",
         markdown.summary_markdown(table, solvers)),
        ("Gap to the best known, equal seconds",
         "Median / worst over the seeds; a dash is nothing feasible, a blank not attempted. The second column says how "
         "well the best known is proven.",
         markdown.gap_markdown(table, solvers, best)),
        ("Gap to the best known, equal evaluations",
         "Each instance at the number of placements that the slowest of its runs scored, starts included.",
         markdown.gap_markdown(fair, searching, best) if fair else "<p>No two searches to compare.</p>"),
    ]  # fmt: skip


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
    return [(f"What {OURS} proves", text, markdown.rows(lines, ["instance", "proven gap"]))]


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
    return [(f"{OURS} against the rivals", text, markdown.rows(lines, head))]


def _ranks(ranking: Ranking | None) -> list[Section]:
    if ranking is None:
        return [("Ranks", "", "<p>Too few instances or solvers, or scipy and scikit-posthocs are missing.</p>")]
    lines = [[name, f"{value:.2f}"] for name, value in zip(ranking.solvers, ranking.ranks, strict=True)]
    text = (
        f"Average ranks over {ranking.instances} instances (Friedman p = {ranking.p_value:.2g}); ranks that differ by "
        f"less than {ranking.critical_difference:.2f} are not told apart at 5% (Nemenyi)."
    )
    return [
        ("Ranks", text, markdown.rows(lines, ["solver", "average rank"])),
        ("Critical differences", "Joined: not told apart.", svg.differences(ranking)),
    ]


def _charts(curves: Mapping[str, profiles.Curves]) -> list[Section]:
    gaps_shown = {
        name: [(100 * (ratio - 1), share) for ratio, share in curve if ratio - 1 <= MOST]
        for name, curve in curves["profile"].items()
    }
    timed = [x for curve in (*curves["anytime"].values(), *curves["time_to_target"].values()) for x, _ in curve]
    names = tuple(curves["profile"])
    seconds = svg.Axis("seconds", 0.01, max([0.1, *timed]), log=True)
    share = svg.Axis("share of runs", 0.0, 1.0)
    means = {name: [(x, 100 * y) for x, y in curve] for name, curve in curves["anytime"].items()}
    return [
        ("Performance profiles", "Share of instances whose cost is at most so far above that of the best solver; "
         "at the left edge: equal.",
         svg.chart(gaps_shown, svg.Axis("above the best solver, %", 100 * LEAST, 100 * MOST, log=True),
                   svg.Axis("share of instances", 0.0, 1.0), stairs=True, names=names)),
        ("Time to target", "Share of runs that are within 0.5% of the best known. Solvers that attempted nearly all "
         "instances.",
         svg.chart(curves["time_to_target"], seconds, share, stairs=True, names=names)),
        ("Anytime", "Mean gap to the best known; runs without a feasible plan count as 100%. Solvers that attempted "
         "nearly all instances.",
         svg.chart(means, seconds, svg.Axis("mean gap, %", 100 * LEAST, 100.0, log=True), stairs=False, names=names)),
    ]  # fmt: skip


def curves_csv(curves: profiles.Curves) -> str:
    """One line per point."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["solver", "x", "y"])
    for solver, curve in curves.items():
        writer.writerows([solver, f"{x:.6g}", f"{y:.6g}"] for x, y in curve)
    return out.getvalue()
