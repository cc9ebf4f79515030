"""Same seed, same trace: every improvement, after the same number of evaluations, in another process too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from placement import optimize
from placement.errors import InputError
from placement.registry import SOLVERS
from placement.search.stop import max_evaluations
from placement.testing import fleet, swarm
question = {"sessions": fleet, "routes": swarm}.get(sys.argv[1], lambda: f"examples/{sys.argv[1]}.yaml")()
for name in SOLVERS:
    if SOLVERS[name].role in ("search", "portfolio"):
        try:
            found = optimize(
                None, question, solver=name, seed=7, time_limit=1e6, stop=max_evaluations(int(sys.argv[2]))
            )
        except InputError as error:
            print(name, error)
            continue
        print(name, [(point.evaluations, point.cost, point.violation) for point in found.trace], found.plan.placement)
"""
QUESTIONS = {"geo": 60_000, "replicated": 4_000, "sessions": 4_000, "routes": 4_000}


def trace(question: str, hash_seed: str) -> str:
    """What every solver does within its evaluations."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, question, str(QUESTIONS[question])],
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
    )
    return done.stdout


@pytest.mark.parametrize("question", QUESTIONS)
def test_same_seed_same_trace_in_another_process(question: str) -> None:
    """The hash seed of the process changes nothing."""
    first, second = trace(question, "1"), trace(question, "2")
    assert first.count("Span") >= 3
    assert first == second
