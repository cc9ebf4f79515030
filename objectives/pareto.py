"""Dominance and hypervolume of points whose values are all minimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """Tell whether the first point is nowhere worse than the second and better somewhere."""
    pairs = list(zip(first, second, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(points: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Indices of the points (n, D) that no other one dominates, each value once, by the first value ascending."""
    values = np.asarray(points, dtype=float)
    if not len(values):
        return np.empty(0, dtype=np.int64)
    kept, best, count = np.empty(len(values), dtype=np.int64), np.empty_like(values), 0
    for k in np.lexsort(values.T[::-1]):
        if not (best[:count] <= values[k]).all(axis=1).any():
            kept[count], best[count] = k, values[k]
            count += 1
    return kept[:count]


def hypervolume(points: npt.ArrayLike, reference: Sequence[float]) -> float:
    """Volume that points (n, D) dominate below a reference point, D = 2 or 3.

    E. Zitzler, L. Thiele, "Multiobjective evolutionary algorithms: a comparative case study and the strength Pareto
    approach", IEEE TEC 3(4), 1999, doi:10.1109/4235.797969. Three dimensions by slices along the last one.
    """
    corner = np.asarray(reference, dtype=float)
    values = np.asarray(points, dtype=float).reshape(-1, len(corner))
    values = values[(values < corner).all(axis=1)]
    if len(corner) == 2:
        return _area(values, corner)
    if len(corner) != 3:
        raise ValueError(f"expected 2 or 3 objectives, got {len(corner)}")
    heights = np.unique(values[:, 2])
    tops = np.append(heights[1:], corner[2])
    return float(
        sum(
            _area(values[values[:, 2] <= low, :2], corner[:2]) * (high - low)
            for low, high in zip(heights, tops, strict=True)
        )
    )


def hypervolume_ratio(found: npt.ArrayLike, exact: npt.ArrayLike) -> float:
    """Hypervolume of a front (n, D) over that of the exact one, below a corner a tenth beyond the exact one's worst."""
    best = np.asarray(exact, dtype=float)
    corner = (best.max(axis=0) * 1.1 + 1e-12).tolist()
    return hypervolume(found, corner) / hypervolume(best, corner)


def _area(values: FloatArray, corner: FloatArray) -> float:
    total, floor = 0.0, float(corner[1])
    for x, y in sorted(map(tuple, values.tolist())):
        if y < floor:
            total += (float(corner[0]) - x) * (floor - y)
            floor = y
    return total
