"""One HTML page: tables and charts in one file, no scripts, nothing to load."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto;margin:.8rem 0 1.6rem}
th,td{padding:.2rem .6rem;border-bottom:1px solid #d8dee4;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{background:#f6f8fa}
svg{max-width:56rem;width:100%;font:12px system-ui,sans-serif;fill:#1f2328;color:#1f2328}
.grid{stroke:#d8dee4;stroke-width:1}p{max-width:60rem}
"""


def table(markdown: str) -> str:
    """A Markdown table as HTML."""
    lines = [line for line in markdown.strip().splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not re.match(r"^\| *-", line)]
    head, *body = rows
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body]
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def page(title: str, parts: Sequence[tuple[str, str, str]]) -> str:
    """A page of sections: heading, explanation, body (HTML, or a Markdown table)."""
    sections = [
        f"<h2>{escape(heading)}</h2><p>{escape(text)}</p>{table(body) if body.startswith('|') else body}"
        for heading, text, body in parts
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><h1>{escape(title)}</h1>'
        f"{''.join(sections)}</html>\n"
    )
