"""Which spans may follow each other on a chain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..spans import Span


class Meeting:
    """Spans by where they begin and end, so that nobody need look at each pair of many.

    Parameters
    ----------
    spans : sequence of Span
    partial : bool
        A chain may enter a span anywhere; else only at its start.
    """

    def __init__(self, spans: Sequence[Span], *, partial: bool) -> None:
        self.spans, self.partial = spans, partial
        self.starts = np.array([span.start for span in spans], dtype=np.int64)
        self.stops = np.array([span.stop for span in spans], dtype=np.int64)

    def after(self, span: Span) -> list[Span]:
        """The spans that a chain may enter as it leaves this one, in their order."""
        inside = (self.starts <= span.stop) & (span.stop < self.stops)
        found = inside if self.partial else self.starts == span.stop
        return [self.spans[k] for k in np.flatnonzero(found).tolist()]
