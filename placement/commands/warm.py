"""The first run on a machine: a second process compiles some kernels while the first compiles others.

numba compiles under one lock, so threads would not help; both processes write the same cache, by renaming whole files.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from objectives.combine import Objective
from objectives.jit import cache_folder
from objectives.pipeline.tables import CostTables
from objectives.spans import Span
from placement.search.kernels import SOURCES

from ..kinds.pipeline.problem import PipelineProblem
from ..search.solvers.annealing import Annealing


def help_if_cold() -> None:
    """Start the second process where nothing was compiled yet; do nothing elsewhere."""
    if cache_folder(*SOURCES).exists():
        return
    none = subprocess.DEVNULL
    subprocess.Popen(
        [sys.executable, "-m", "placement.commands.warm"], stdin=none, stdout=none, stderr=none, start_new_session=True
    )


def tiny() -> PipelineProblem:
    """Two nodes and two blocks: kernels depend on the types of arrays, not on their sizes."""
    ones = np.ones((2, 2))
    return PipelineProblem(
        CostTables(
            batches=np.array([1]),
            decode_s=ones[None],
            prefill_s=ones,
            weight_bytes=np.ones(2),
            kv_bytes=np.ones(2),
            capacity_bytes=np.full(2, 9.0),
            cut_bytes=np.ones(3),
            prompt_cut_bytes=np.ones(3),
            latency_s=np.ones((3, 3)),
            bandwidth_bytes_per_s=np.ones((3, 3)),
            price_per_hour=np.ones(2),
            power_w=np.ones(2),
            cut_allowed=np.ones(3, dtype=bool),
            allowed=np.ones((2, 2), dtype=bool),
            ties=np.empty((0, 2), dtype=np.int64),
            required=np.zeros(2, dtype=bool),
            max_nodes=2,
            contiguous=True,
            output_tokens=2,
            concurrency=1,
        ),
        Objective(),
    )


def main() -> None:
    """Compile the bound, then the walk of annealing: what a run needs after its starts."""
    problem = tiny()
    problem.lower_bound()
    start = problem.encode([Span(0, 0, 2)])[None, :]
    next(Annealing(first_cycle=1).search(problem, np.random.default_rng(0), start))


if __name__ == "__main__":
    main()
