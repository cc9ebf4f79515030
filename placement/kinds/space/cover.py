"""How many parts of each kind leave a run of blocks so that the rest fits, at the least cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
MOST_COUNTS = 2_000  # numbers of parts by kind that are tried for a stage; where there are more, the bound is looser


def between(mask: npt.NDArray[np.bool_]) -> FloatArray:
    """How many of the blocks in a mask a run has, by start and stop."""
    before = np.concatenate([[0], mask.cumsum()])
    found: FloatArray = np.maximum(before[None, :] - before[:, None], 0).astype(np.float64)
    return found


def cover(
    lack: FloatArray,
    sizes: Sequence[float],
    added: Sequence[float],
    most: Sequence[FloatArray],
    *,
    room: float,
    fractions: bool,
) -> list[FloatArray]:
    """How many parts of each kind leave so that what lacks is freed, at the least added cost.

    Exact for whole numbers of kinds that are countable; else kind by kind in the order given. Parts that make a block
    faster elsewhere all leave.

    Parameters
    ----------
    lack : array (L + 1, L + 1)
        Bytes to free, by start and stop of a run.
    sizes, added : sequence of float
        Of each kind: bytes that one part frees, and what it adds to the cost.
    most : sequence of array (L + 1, L + 1)
        Of each kind: parts that a run has.
    room : float
        Bytes that may leave at most, as far as there is a choice; a result may still be above it.
    fractions : bool
        Parts may leave in fractions: a bound.

    Returns
    -------
    list of array (L + 1, L + 1)
        Parts of each kind that leave.
    """
    gain = [k for k, price in enumerate(added) if price < 0]
    rest = [k for k in range(len(added)) if k not in gain]
    for k in gain:
        lack = lack - most[k] * sizes[k]
    if len(rest) > 1 and not fractions and countable([int(most[k].max()) for k in rest]):
        those = [sizes[k] for k in rest], [added[k] for k in rest], [most[k] for k in rest]
        of_rest = _cover_exactly(lack, *those, room)
        numbers = dict(zip(rest, of_rest, strict=True))
        return [numbers.get(k, most[k]) for k in range(len(added))]
    counts = []
    for k, (size, there) in enumerate(zip(sizes, most, strict=True)):
        number = np.clip(lack / size, 0.0, there)
        number = number if fractions else np.minimum(np.ceil(number - 1e-9), there)
        number = there if k in gain else number
        lack = lack if k in gain else lack - number * size
        counts.append(number)
    return counts


def countable(numbers: Sequence[int]) -> bool:
    """Whether all numbers of parts of each kind but the last can be tried."""
    return prod(number + 1 for number in numbers[:-1]) <= MOST_COUNTS


def _cover_exactly(
    lack: FloatArray, sizes: Sequence[float], added: Sequence[float], most: Sequence[FloatArray], room: float
) -> list[FloatArray]:
    """The cheapest cover by whole parts: every number of all kinds but the last, of which as few as needed."""
    best = np.full(lack.shape, np.inf)
    counts = [there.copy() for there in most]
    for numbers in product(*(range(int(there.max()) + 1) for there in most[:-1])):
        freed = sum(number * size for number, size in zip(numbers, sizes, strict=False))
        last = np.maximum(np.ceil((lack - freed) / sizes[-1] - 1e-9), 0.0)
        price = sum(number * each for number, each in zip(numbers, added, strict=False)) + last * added[-1]
        fits = (last <= most[-1]) & (freed + last * sizes[-1] <= room)
        for number, there in zip(numbers, most, strict=False):
            fits &= number <= there
        better = fits & (price < best)
        best = np.where(better, price, best)
        chosen: list[FloatArray] = [*map(np.asarray, numbers), last]
        counts = [np.where(better, number, count) for number, count in zip(chosen, counts, strict=True)]
    return counts
