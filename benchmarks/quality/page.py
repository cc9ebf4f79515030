"""One HTML page: tables and charts in one file, no scripts, nothing to load."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from placement.report.html import rendered


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    heading, text : str
    table : str
        In Markdown; empty for none.
    drawing : str
        An SVG element; empty for none.
    """

    heading: str
    text: str = ""
    table: str = ""
    drawing: str = ""

    @property
    def head(self) -> list[str]:
        """First row of the table."""
        return self._lines()[0]

    @property
    def rows(self) -> list[list[str]]:
        """The other rows."""
        return self._lines()[1:]

    def _lines(self) -> list[list[str]]:
        lines = [line for line in self.table.strip().splitlines() if not re.match(r"^\| *-", line)]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def page(title: str, sections: Sequence[Section]) -> str:
    """A page of sections."""
    return rendered("page.html", {"title": title, "sections": sections}, Path(__file__).parent)
