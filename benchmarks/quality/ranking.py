"""Ranks of solvers over instances: Friedman's test, then Nemenyi's critical difference.

J. Demsar, "Statistical comparisons of classifiers over multiple data sets", Journal of Machine Learning Research 7,
2006, https://jmlr.org/papers/v7/demsar06a.html. Tests by SciPy and scikit-posthocs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .experiments import Record
from .gaps import by_cell

ALPHA = 0.05  # of both tests
FEWEST = 3  # solvers, and instances, without which ranks say nothing


@dataclass(frozen=True)
class Ranking:
    """Average ranks, 1 is best.

    Attributes
    ----------
    solvers : tuple of str
        From the best rank to the worst.
    ranks : tuple of float
    instances : int
    p_value : float
        Of Friedman's test that all are alike.
    critical_difference : float
        Ranks that differ by less are not told apart at 5%.
    p_values : array (n, n)
        Of Nemenyi's test between pairs, in the order of `solvers`.
    """

    solvers: tuple[str, ...]
    ranks: tuple[float, ...]
    instances: int
    p_value: float
    critical_difference: float
    p_values: npt.NDArray[np.float64]


def costs(records: Sequence[Record], solvers: Sequence[str]) -> npt.NDArray[np.float64]:
    """Median costs (instances, solvers) of the instances that all solvers attempted; infinite: nothing feasible."""
    cells = by_cell(record for record in records if record.status in ("ok", "infeasible"))
    names = sorted({instance for instance, _ in cells})
    rows = [
        [float(np.median([run.cost for run in cells[name, solver]])) for solver in solvers]
        for name in names
        if all((name, solver) in cells for solver in solvers)
    ]
    return np.array(rows).reshape(len(rows), len(solvers))


def average_ranks(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean rank of every column; equal costs (to nine digits) share their ranks."""
    from scipy.stats import rankdata

    rounded = np.array([[float(f"{value:.9g}") for value in row] for row in table])
    ranks: npt.NDArray[np.float64] = np.mean([rankdata(row) for row in rounded], axis=0)
    return ranks


def rank(records: Sequence[Record], solvers: Sequence[str]) -> Ranking | None:
    """Rank the solvers; None with too few instances or solvers, or where the statistics packages are missing."""
    try:
        from scikit_posthocs import posthoc_nemenyi_friedman
        from scipy.stats import friedmanchisquare, studentized_range
    except ImportError:
        return None
    table = costs(records, solvers)
    n, k = table.shape
    if n < FEWEST or k < FEWEST:
        return None
    # Ranks know no infinity: what found nothing feasible comes last.
    finite = np.where(np.isfinite(table), table, 1e300)
    rounded = np.array([[float(f"{value:.9g}") for value in row] for row in finite])
    means = average_ranks(finite)
    alike = bool((rounded == rounded[:, :1]).all())
    p_value = 1.0 if alike else float(friedmanchisquare(*rounded.T).pvalue)
    pairs = np.ones((k, k)) if alike else np.asarray(posthoc_nemenyi_friedman(rounded), dtype=np.float64)
    order = np.argsort(means, kind="stable")
    critical = float(studentized_range.ppf(1.0 - ALPHA, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n)))
    return Ranking(
        tuple(solvers[i] for i in order),
        tuple(means[order].tolist()),
        n,
        p_value,
        critical,
        pairs[np.ix_(order, order)],
    )
