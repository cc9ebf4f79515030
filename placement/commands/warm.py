"""The first run on a machine: a second process compiles some kernels while the first compiles others.

numba compiles under one lock, so threads would not help; both processes write the same cache, by renaming whole files.
The second process does not outlive the first, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np

from objectives.caches import takes_files
from objectives.combine import Objective
from objectives.jit import cache_folder
from objectives.pipeline.tables import CostTables
from objectives.spans import Span
from placement.search.kernels import SOURCES

from ..kinds.pipeline.problem import PipelineProblem
from ..search.solvers.annealing import Annealing


@contextlib.contextmanager
def help_if_cold() -> Iterator[subprocess.Popen[bytes] | None]:
    """Have the second process beside the body of a `with` where nothing was compiled yet; do nothing elsewhere.

    At the end of the body, also one by an error or Ctrl-C, it is killed and reaped: what it has compiled stays.
    """
    folder = cache_folder(*SOURCES)
    if folder is None or not takes_files(folder) or next(folder.rglob("*.nbc"), None) is not None:
        yield None
        return
    none = subprocess.DEVNULL
    command = [sys.executable, "-m", "placement.commands.warm"]
    # A session of its own: Ctrl-C is for the first process, which then ends this one.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=none, stderr=none, start_new_session=True) as helper:
        try:
            yield helper
        finally:
            helper.kill()


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
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    problem = tiny()
    problem.lower_bound()
    start = problem.encode([Span(0, 0, 2)])[None, :]
    next(Annealing(first_cycle=1).search(problem, np.random.default_rng(0), start))


def _end_with_the_input() -> None:
    """End this process when its input does: whoever started it is gone."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
