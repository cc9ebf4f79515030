"""Same seed, same trace: every improvement, after the same number of evaluations, in another process too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
from placement import optimize
from placement.registry import SOLVERS
from placement.search.stop import max_evaluations
for name in SOLVERS:
    if SOLVERS[name].role in ("search", "portfolio"):
        found = optimize(None, "examples/geo.yaml", solver=name, seed=7, time_limit=1e6, stop=max_evaluations(60_000))
        print(name, [(point.evaluations, point.cost, point.violation) for point in found.trace], found.plan.placement)
"""


def trace(hash_seed: str) -> str:
    """What every solver does within its evaluations."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
    )
    return done.stdout


def test_same_seed_same_trace_in_another_process() -> None:
    """The hash seed of the process changes nothing."""
    first, second = trace("1"), trace("2")
    assert "annealing" in first
    assert first == second
