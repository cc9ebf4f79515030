"""The roofline that explains measured blocks best: sustained rates and overhead by least squares.

Relative errors are minimised: a point counts by how well it is met, not by how long it takes. On which side of the
roofline a point lies is decided by the fit before, until nothing changes (S. Williams et al., "Roofline", 2009,
doi:10.1145/1498765.1498785).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .measure import Sample

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Roofline:
    """A fitted roofline.

    Attributes
    ----------
    flops_per_s, bytes_per_s : float
        Sustained rates.
    overhead_s : float
        Seconds per block and pass.
    median_error, worst_error : float
        Relative, over the points of the fit.
    """

    flops_per_s: float
    bytes_per_s: float
    overhead_s: float
    median_error: float
    worst_error: float

    def seconds(self, flops: FloatArray, n_bytes: FloatArray) -> FloatArray:
        """Seconds of passes."""
        return np.maximum(flops / self.flops_per_s, n_bytes / self.bytes_per_s) + self.overhead_s


def fit(samples: Sequence[Sample], rounds: int = 30) -> Roofline:
    """Fit a roofline to samples; at least one is needed."""
    flops = np.array([sample.flops for sample in samples])
    n_bytes = np.array([sample.n_bytes for sample in samples])
    seconds = np.array([sample.seconds for sample in samples])
    line = Roofline(
        float(np.max(flops / seconds, initial=1.0)), float(np.max(n_bytes / seconds, initial=1.0)), 0.0, 0.0, 0.0
    )
    best = _judged(line, flops, n_bytes, seconds)
    for _ in range(rounds):
        bound = flops / line.flops_per_s > n_bytes / line.bytes_per_s
        columns = np.stack([np.where(bound, flops, 0.0), np.where(bound, 0.0, n_bytes), np.ones_like(seconds)], 1)
        a, b, overhead = _non_negative(columns / seconds[:, None])
        new = Roofline(
            1.0 / a if a > 0 else line.flops_per_s, 1.0 / b if b > 0 else line.bytes_per_s, overhead, 0.0, 0.0
        )
        new = _judged(new, flops, n_bytes, seconds)
        if new.median_error < best.median_error:
            best = new
        if np.array_equal(flops / new.flops_per_s > n_bytes / new.bytes_per_s, bound):
            break
        line = new
    return best


def _judged(line: Roofline, flops: FloatArray, n_bytes: FloatArray, seconds: FloatArray) -> Roofline:
    errors = np.abs(line.seconds(flops, n_bytes) / seconds - 1.0)
    return Roofline(line.flops_per_s, line.bytes_per_s, line.overhead_s, float(np.median(errors)), float(errors.max()))


def _non_negative(columns: FloatArray) -> tuple[float, float, float]:
    """Least squares of ``columns @ x = 1`` with x >= 0: three unknowns, so every subset of them is tried."""
    best, least = np.zeros(3), np.inf
    for mask in range(1, 8):
        chosen = [k for k in range(3) if mask >> k & 1]
        part = columns[:, chosen]
        # Scaled columns: FLOPs and seconds differ by twelve orders of magnitude.
        scale = np.linalg.norm(part, axis=0)
        if (scale == 0).any():
            continue
        x = np.linalg.lstsq(part / scale, np.ones(len(part)), rcond=None)[0] / scale
        if (x < 0).any():
            continue
        error = float(((part @ x - 1.0) ** 2).sum())
        if error < least:
            least, best = error, np.zeros(3)
            best[chosen] = x
    return float(best[0]), float(best[1]), float(best[2])
