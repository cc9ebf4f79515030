"""The packing program whose columns come one by one: maximise rates, one row for each server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from objectives.sessions.chains import FloatArray


class Master:
    """``max rates @ x`` subject to ``columns @ x <= limits, x >= 0``, solved by HiGHS.

    Parameters
    ----------
    limits : array (J,)
    whole : bool
        Only whole numbers count.
    seconds : float or None
        Longest time of one solve.
    """

    def __init__(self, limits: FloatArray, *, whole: bool = False, seconds: float | None = None) -> None:
        import highspy

        with banner_hidden():
            make: Any = highspy.Highs
            self.solver: Any = make()
        self.solver.setOptionValue("output_flag", False)
        self.solver.setOptionValue("threads", 1)
        if seconds is not None:
            self.solver.setOptionValue("time_limit", seconds)
        for limit in limits:
            self.solver.addRow(-highspy.kHighsInf, float(limit), 0, np.array([], dtype=np.int32), np.array([]))
        self.rates: list[float] = []
        self.top = highspy.kHighsInf
        self.whole = highspy.HighsVarType.kInteger if whole else None

    def add(self, rate: float, parts: FloatArray) -> None:
        """Add a column with its rate in 1/s and what one unit of it takes of every row."""
        rows = np.flatnonzero(parts).astype(np.int32)
        self.solver.addCol(-rate, 0.0, self.top, len(rows), rows, parts[rows])
        if self.whole is not None:
            self.solver.changeColIntegrality(len(self.rates), self.whole)
        self.rates.append(rate)

    def offer(self, rate: float, parts: FloatArray, prices: FloatArray) -> bool:
        """Add a column if it beats its price; return whether it did."""
        if rate - parts @ prices <= 1e-6 * rate:
            return False
        self.add(rate, parts)
        return True

    def solve(self) -> FloatArray:
        """Solve and return the price of every row, never negative; meaningless for whole numbers."""
        self.solver.run()
        prices: FloatArray = np.maximum(0.0, -np.array(self.solver.getSolution().row_dual))
        return prices

    def values(self) -> FloatArray:
        """Amount of every column."""
        return np.array(self.solver.getSolution().col_value)

    def seconds_in_use(self) -> FloatArray:
        """One over the rate of the columns that the solution uses."""
        used: FloatArray = 1.0 / np.array(self.rates)[self.values() > 1e-9]
        return used


@contextmanager
def banner_hidden() -> Iterator[None]:
    """Keep what HiGHS writes when it is made off standard output, where a command may write JSON."""
    sys.stdout.flush()
    try:
        kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no standard output, nothing to keep clean
        yield
        return
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
