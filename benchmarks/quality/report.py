"""From records to files: CSV, Markdown, one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..instances import Known
from . import gaps, markdown
from .experiments import Record, is_random


def write(records: list[Record], known: Mapping[str, Known], solvers: Sequence[str], out: Path) -> list[Path]:
    """Write everything into a folder; return the files."""
    table, best = gaps.gap_table(records, known), gaps.references(records, known)
    searching = [solver for solver in solvers if is_random(solver)]
    fair = gaps.view(records, known, searching)
    text = "\n".join(
        [
            "## By solver\n",
            markdown.summary_markdown(table, solvers),
            "## Gap to the best known: median / worst over the seeds\n",
            markdown.gap_markdown(table, solvers, best),
            "## The same at equal evaluations\n",
            markdown.gap_markdown(fair, searching, best),
        ]
    )
    files = {"gaps.md": text, "gaps.csv": markdown.gap_csv(table), "gaps_equal_evaluations.csv": markdown.gap_csv(fair)}
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_text(content, encoding="utf-8")
    return [out / name for name in files]
