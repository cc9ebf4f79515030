"""How far predictions are from measurements: quantiles of the relative error, and the correlation of the rankings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def error_summary(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> dict[str, float]:
    """Median, 90th percentile and worst relative error, and Kendall's tau, of figures (n,) in any one unit."""
    errors = np.abs(np.asarray(predicted, dtype=float) / np.asarray(measured, dtype=float) - 1.0)
    return quantiles(errors) | {"kendall_tau": kendall_tau(predicted, measured)}


def quantiles(errors: npt.ArrayLike) -> dict[str, float]:
    """Median, 90th percentile and worst of relative errors (n,)."""
    errors = np.asarray(errors, dtype=np.float64)
    return {
        "median_error": float(np.median(errors)),
        "p90_error": float(np.quantile(errors, 0.9)),
        "worst_error": float(np.max(errors)),
    }


def kendall_tau(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Kendall's tau-b: pairs that are tied in one ranking are left out of its count."""
    upper = np.triu_indices(len(np.asarray(a)), 1)
    x, y = (np.sign(np.subtract.outer(values, values))[upper] for values in (np.asarray(a), np.asarray(b)))
    return float((x * y).sum() / max(np.sqrt((x**2).sum() * (y**2).sum()), 1.0))
