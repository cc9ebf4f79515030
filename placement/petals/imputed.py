"""Round trips that nobody measured, from those that somebody did."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from objectives.routes.swarm import FloatArray

BoolMatrix = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
NOBODY_S = 0.1  # where not a single round trip is known


def impute(known: Mapping[tuple[int, int], float], n: int) -> tuple[FloatArray, BoolMatrix]:
    """Fill a table of round trips; say which of them are guesses.

    A third place k that knows both gives ``|d_ik - d_jk| <= d_ij <= d_ik + d_jk``, as far as the triangle inequality
    holds; the guess is the middle between the best bounds of all such places (the client is one of them). Where there
    is none, it is the mean of both places' medians, or the median of all that is known.

    Parameters
    ----------
    known : mapping of (int, int) to float
        Round trips in s, either direction; where both are known, their mean counts. Infinite ones count as unknown.
    n : int
        Places.

    Returns
    -------
    array (n, n), bool array (n, n)
        Round trips in s, symmetric, 0 on the diagonal; True where a value is imputed.
    """
    given = np.full((n, n), np.nan)
    for (i, j), seconds in known.items():
        if i != j and np.isfinite(seconds):
            given[i, j] = seconds
    both = np.stack([given, given.T])
    count = np.isfinite(both).sum(axis=0)
    table = np.where(count > 0, np.nansum(both, axis=0) / np.maximum(count, 1), np.nan)
    np.fill_diagonal(table, 0.0)
    missing = ~np.isfinite(table)
    off = np.isfinite(table) & ~np.eye(n, dtype=bool)
    middle = float(np.median(table[off])) if off.any() else NOBODY_S
    medians = np.array([np.median(table[i][off[i]]) if off[i].any() else middle for i in range(n)])
    guesses = (medians[:, None] + medians[None, :]) / 2
    known_table = np.where(off, table, np.nan)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows without any bridge
        for i in np.flatnonzero(missing.any(axis=1)).tolist():
            low = np.nanmax(np.abs(known_table[i] - known_table), axis=1)
            high = np.nanmin(known_table[i] + known_table, axis=1)
            # Measured times need not keep the inequality.
            bridged = np.where(low <= high, (low + high) / 2, low)
            guesses[i] = np.where(np.isfinite(bridged), bridged, guesses[i])
    return np.where(missing, guesses, table), missing
