"""Spans and figures as tables for spreadsheets and Markdown."""

from __future__ import annotations

import csv
import io

from ...errors import printable
from ...plan.plan import Plan
from ..figures import shown_figures
from ..table import blocks_of, objective_line

COLUMNS = ("node", "start", "stop", "first_block", "last_block", "away", "home", "region", "host", "device")
BYTES = ("weights_bytes", "cache_bytes", "memory_bytes")


def csv_text(plan: Plan) -> bytes:
    """A row for each span; bytes and seconds are those of its node, and stand in its first row."""
    places = {place.name: place for place in (plan.picture.places if plan.picture is not None else ())}
    busy = {use.name: use.busy_s for use in plan.nodes}
    out, told = io.StringIO(), set[str]()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow((*COLUMNS, *BYTES, "busy_s"))
    for span in plan.placement:
        place = places.get(span.node)
        names = plan.block_names[span.start : span.stop] or ("",)
        where = (place.region, place.host, place.device) if place is not None else ("", "", "")
        figures: tuple[object, ...] = ("", "", "", "")
        if span.node not in told:
            sizes = [round(getattr(place, name)) if place is not None else "" for name in BYTES]
            figures = (*sizes, busy.get(span.node, ""))
            told.add(span.node)
        cells = (span.node, span.start, span.stop, names[0], names[-1], span.away or "", span.home or "")
        rows.writerow([printable(cell) if isinstance(cell, str) else cell for cell in (*cells, *where, *figures)])
    return out.getvalue().encode()


def markdown(plan: Plan) -> bytes:
    """Title, spans, figures and notes."""
    lines = [f"## {_plain(plan.model or 'plan')}", "", f"{_plain(objective_line(plan.objective))}.", ""]
    lines += ["| # | node | blocks |", "| --- | --- | --- |"]
    for number, span in enumerate(plan.placement, start=1):
        lines.append(f"| {number} | {_plain(span.node)} | {_plain(blocks_of(plan, span))} |")
    lines += ["", "| figure | predicted | 9 of 10 lie within |", "| --- | --- | --- |"]
    lines += [f"| {_plain(name)} | {value} | {ends} |" for name, value, ends in shown_figures(plan)]
    if plan.notes:
        lines += ["", *(f"- {_plain(note)}" for note in plan.notes)]
    return ("\n".join(lines) + "\n").encode()


def _plain(text: str) -> str:
    """Text on one line whose characters mean nothing in Markdown."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>|#" else char for char in printable(text))
