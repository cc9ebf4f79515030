"""Placements whose chains run through stages of one, two or three servers that hold the same blocks.

A server of a wide stage carries a part of the sessions only, so it holds more blocks than one that carries all of them:
chains get shorter, with as many sessions. Which widths pay, and whether for the fast servers or for the slow ones, is a
choice of basin that small moves rarely change, so each is a start of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from objectives.sessions.baselines import Spans, sizes_for, spaced_sessions
from objectives.sessions.chains import Fleet
from objectives.spans import Range

WIDE, GROWTH = (0, 1, 2, 3, 5, 8), 1.06  # numbers of wide stages, of each width; step between numbers of sessions


def staged(fleet: Fleet, sessions: int, pairs: int, triples: int, *, fast: bool = False) -> Spans | None:
    """Servers lined up front to back, some in stages of two and of three; None when no line gets to the end.

    Parameters
    ----------
    sessions : int
        Sessions at once that every stage keeps room for.
    pairs, triples : int
        Numbers of stages of two and of three servers.
    fast : bool
        The fastest servers share stages; otherwise the slowest do.
    """
    sizes = sizes_for(fleet, sessions)
    if sum(sizes) < fleet.n_blocks:
        return None
    able = [j for j in range(fleet.n_servers) if sizes[j] > 0]
    order = sorted(able, key=lambda j: (fleet.session_s[j] / sizes[j] + fleet.block_s[j], j))
    widths = [1] * max(0, len(order) - 2 * pairs - 3 * triples) + [2] * pairs + [3] * triples
    widths = widths[::-1] if fast else widths
    spans: list[Range] = [(0, 0)] * fleet.n_servers
    cut, at, whole = 0, 0, False
    for width in widths:
        stage, at = order[at : at + width], at + width
        size = sizes[stage[0]] if width == 1 else common_size(fleet, stage, sessions)
        if size == 0:
            continue
        start = min(cut, fleet.n_blocks - size)
        for j in stage:
            spans[j] = (start, start + size)
        cut = start + size
        if cut == fleet.n_blocks:
            cut, whole = 0, True
    return tuple(spans) if whole else None


def common_size(fleet: Fleet, stage: list[int], sessions: int) -> int:
    """Most blocks that all servers of a stage can hold with room for so many sessions among them; 0 for none."""
    if not stage:
        return 0
    blocks = np.arange(1, int(fleet.most_blocks[stage].min()) + 1)
    room = (fleet.slots[stage][:, blocks] // blocks).sum(axis=0)
    return int(blocks[room >= sessions].max(initial=0))


def stage_starts(fleet: Fleet) -> Iterator[tuple[tuple[int, int, bool], list[Spans]]]:
    """Placements by their numbers of pairs and triples and who shares, one for each number of sessions."""
    n, capacities = fleet.n_servers, spaced_sessions(fleet, GROWTH)
    for pairs, triples, fast in product(WIDE, WIDE, (False, True)):
        if 2 * pairs + 3 * triples > n or (fast and pairs + triples == 0):
            continue
        rows = (staged(fleet, sessions, pairs, triples, fast=fast) for sessions in capacities)
        spans = [row for row in rows if row is not None]
        if spans:
            yield (pairs, triples, fast), spans
