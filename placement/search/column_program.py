"""A packing program whose columns come one by one, solved by HiGHS: maximise rates under one limit for each row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .highs import quiet_solver

FloatArray = npt.NDArray[np.float64]


class ColumnProgram:
    """``max rates @ x`` subject to ``columns @ x <= limits, x >= 0``.

    Parameters
    ----------
    limits : array (R,)
        One for each row.
    whole : bool
        Only whole numbers count.
    seconds : float or None
        Longest time of one solve.
    """

    def __init__(self, limits: FloatArray, *, whole: bool = False, seconds: float | None = None) -> None:
        import highspy

        self.solver = quiet_solver()
        self.solver.setOptionValue("threads", 1)
        if seconds is not None:
            self.solver.setOptionValue("time_limit", seconds)
        for limit in limits:
            self.solver.addRow(-highspy.kHighsInf, float(limit), 0, np.array([], dtype=np.int32), np.array([]))
        self.count = 0
        self.top = highspy.kHighsInf
        self.whole = highspy.HighsVarType.kInteger if whole else None

    def add(self, rate: float, parts: FloatArray) -> None:
        """Add a column: its rate in 1/s, and what one unit of it takes of every row (R,)."""
        rows = np.flatnonzero(parts).astype(np.int32)
        self.solver.addCol(-rate, 0.0, self.top, len(rows), rows, parts[rows])
        if self.whole is not None:
            self.solver.changeColIntegrality(self.count, self.whole)
        self.count += 1

    def offer(self, rate: float, parts: FloatArray, prices: FloatArray) -> bool:
        """Add a column if it beats its price; return whether it did."""
        if rate - parts @ prices <= 1e-6 * rate:
            return False
        self.add(rate, parts)
        return True

    def solve(self) -> FloatArray:
        """Solve and return the price of every row (R,), never negative; meaningless for whole numbers."""
        self.solver.run()
        prices: FloatArray = np.maximum(0.0, -np.array(self.solver.getSolution().row_dual))
        return prices

    def values(self) -> FloatArray:
        """Amount of every column."""
        return np.array(self.solver.getSolution().col_value)
