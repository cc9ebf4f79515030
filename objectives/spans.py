"""Spans and ranges of blocks ``start <= b < stop``: with the node that holds them, and without."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """A node holds the blocks ``start <= b < stop``; `node` is an index into the tables."""

    node: int
    start: int
    stop: int


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
