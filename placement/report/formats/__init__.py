"""Plans in the notations that people paste elsewhere: the one list of writers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from ...errors import InputError, nearest
from ...plan.plan import Plan
from ...plugins import attribute

Writer = Callable[[Plan], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a writer lives and what it writes; its module is imported when it is asked for."""

    path: str
    summary: str
    binary: bool = False

    def load(self) -> Writer:
        """Import the writer."""
        return cast(Writer, attribute(self.path, __name__))


FORMATS: Mapping[str, Entry] = MappingProxyType(
    {
        "mermaid": Entry(".graphs:mermaid", "a flowchart for Markdown pages"),
        "dot": Entry(".graphs:dot", "a graph for Graphviz"),
        "svg": Entry(".drawings:svg", "the map as a picture"),
        "png": Entry(".drawings:png", "blocks and memory as a picture (with the extra plot)", binary=True),
        "csv": Entry(".tables:csv_text", "a row for each span"),
        "markdown": Entry(".tables:markdown", "spans and figures as tables"),
    }
)


def writer(name: str) -> Writer:
    """The writer of a format; raise `InputError` with the nearest name for an unknown one."""
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        raise InputError(f"there is no format '{name}'{nearest(name, FORMATS)} (known: {known})", "--format")
    return FORMATS[name].load()
