"""Ranges of blocks [start, stop), one for each server of a swarm."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Range = tuple[int, int]


def count_holders(n_blocks: int, ranges: Iterable[Range]) -> npt.NDArray[np.int64]:
    """How many of the ranges hold each of the blocks, array (n_blocks,)."""
    count = np.zeros(n_blocks, dtype=np.int64)
    for start, stop in ranges:
        count[start:stop] += 1
    return count


def lacking(new: Range, old: Range | None) -> int:
    """Count the blocks of `new` that a server with `old` must load; all of them when it holds nothing (None)."""
    held = max(0, min(new[1], old[1]) - max(new[0], old[0])) if old is not None else 0
    return new[1] - new[0] - held
