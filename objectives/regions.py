"""Regions of nodes by how far they are from each other: within one, hops are much shorter than between two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def regions(near: FloatArray, step: float) -> IntArray:
    """Number the single-linkage clusters of nodes, cut where the joining lengths jump most, as they come.

    Parameters
    ----------
    near : array (n, n)
        Length of the way between two nodes, the same both ways, in any unit; infinite where there is none.
    step : float
        Ratio of two joining lengths in a row above which they part regions; below it there is one region.

    Returns
    -------
    int array (n,)
    """
    n = len(near)
    joined, best, lengths, edges = np.zeros(n, dtype=bool), near[0].copy(), [], []
    origin = np.zeros(n, dtype=np.int64)
    joined[0] = True
    for _ in range(n - 1):
        j = int(
            np.where(joined, np.inf, best).argmin() if (best[~joined] < np.inf).any() else np.flatnonzero(~joined)[0]
        )
        lengths.append(float(best[j]))
        edges.append((int(origin[j]), j))
        joined[j] = True
        closer = near[j] < best
        best[closer], origin[closer] = near[j][closer], j
    order = np.argsort(lengths, kind="stable")
    ranked = np.array(lengths)[order]
    top = float(ranked[np.isfinite(ranked)].max(initial=0.0)) or 1.0
    ranked = np.clip(ranked, 1e-6 * top, 1e3 * top)  # where no link is, the jump is large
    jumps = ranked[1:] / ranked[:-1]
    keep = int(jumps.argmax()) + 1 if len(jumps) and jumps.max() > step else n - 1
    label = np.arange(n)
    for k in order[:keep]:
        a, b = (label[v] for v in edges[k])
        label[label == b] = a
    seen: dict[int, int] = {}
    return np.array([seen.setdefault(one, len(seen)) for one in label.tolist()], dtype=np.int64)
