"""Ranges of blocks [start, stop), one for each server of a swarm."""

from __future__ import annotations

Range = tuple[int, int]


def lacking(new: Range, old: Range | None) -> int:
    """Count the blocks of `new` that a server with `old` must load; all of them when it holds nothing (None)."""
    held = max(0, min(new[1], old[1]) - max(new[0], old[0])) if old is not None else 0
    return new[1] - new[0] - held
