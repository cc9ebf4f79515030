"""The partition that DeepSpeed makes of a pipeline, written anew after its documentation.

`deepspeed.runtime.utils.partition_balanced` (Apache-2.0) cuts a chain of weights by dynamic programming over the
difference between heaviest and lightest part. The difference of an optimal whole is not made of optimal differences
of its prefixes, so the heaviest part may be heavier than it must be.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.spans import Span
from placement.search.solver import Proposal

from .adapters import pipeline_of


def partition_balanced(weights: Sequence[float], parts: int) -> list[int]:
    """Return the boundaries 0 = p[0] <= ... <= p[parts] = n."""
    n = len(weights)
    prefix = np.concatenate([[0.0], np.cumsum(weights)])
    most = np.full((n + 1, parts + 1), np.inf)
    least = np.full((n + 1, parts + 1), np.inf)
    spread = np.full((n + 1, parts + 1), np.inf)
    origin = np.zeros((n + 1, parts + 1), dtype=np.int64)
    most[0, 0] = spread[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, min(i, parts) + 1):
            for k in range(i):
                part = prefix[i] - prefix[k]
                heavy, light = max(most[k, j - 1], part), min(least[k, j - 1], part)
                if heavy - light <= spread[i, j]:
                    spread[i, j], most[i, j], least[i, j], origin[i, j] = heavy - light, heavy, light, k
    bounds = [n]
    for j in range(parts, 0, -1):
        bounds.append(int(origin[bounds[-1], j]))
    return bounds[::-1]


def bottleneck(weights: Sequence[float], bounds: Sequence[int]) -> float:
    """Weight of the heaviest part."""
    return max(float(sum(weights[a:b])) for a, b in itertools.pairwise(bounds))


def best_bottleneck(weights: Sequence[float], parts: int) -> float:
    """Least weight of the heaviest part, by dynamic programming."""
    n = len(weights)
    prefix = np.concatenate([[0.0], np.cumsum(weights)])
    best = np.full((parts + 1, n + 1), np.inf)
    best[0, 0] = 0.0
    for j in range(1, parts + 1):
        for i in range(1, n + 1):
            best[j, i] = min(max(best[j - 1, k], prefix[i] - prefix[k]) for k in range(i))
    return float(best[parts, n])


@dataclass(frozen=True)
class Partition:
    """One plan: the blocks' bytes cut into as many parts as there are nodes, in file order."""

    def search(self, problem: Any, rng: np.random.Generator, start: Any) -> Iterator[Proposal]:
        """Yield the plan."""
        tables = pipeline_of(problem).tables
        parts = min(tables.n_nodes, tables.n_blocks)
        cuts = partition_balanced((tables.weight_bytes + tables.kv_bytes).tolist(), parts)
        pairs = itertools.pairwise(cuts)
        spans = [Span(node, a, b) for node, (a, b) in enumerate(pairs) if b > a]
        yield Proposal(problem.encode(spans)[None, :], 1)
