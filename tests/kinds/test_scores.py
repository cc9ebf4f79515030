"""What the kernels say of a placement is what the reference says, for questions of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from placement.kinds.asked import ask
from placement.testing import EXAMPLES

if TYPE_CHECKING:
    from placement.search.problem import Problem

FILES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
ALIKE = [{"id": f"s{k}", "memory_gb": 10 + k, "tau_c_s": 0.3, "tau_p_s": 0.1} for k in range(5)]
FLEET = {"num_blocks": 12, "block_gb": 1.0, "cache_gb_per_block_job": 0.1, "lambda_per_s": 0.05, "servers": ALIKE}
GENOMES = 100


def ensure_alike(problem: Problem) -> None:
    """Random genomes and the starts: cost, violation and every term by both codes."""
    genomes = np.concatenate([problem.starts()[:20], problem.random(np.random.default_rng(0), GENOMES)])
    (costs, violations), (terms, _) = problem.evaluate(genomes), problem.terms(genomes)
    for genome, cost, violation, row in zip(genomes, costs, violations, terms, strict=True):
        score = problem.score(problem.decode(genome))
        assert (score.violation > 0) == (violation > 0)
        if violation == 0:
            assert cost == pytest.approx(score.cost, rel=1e-9)
            np.testing.assert_allclose(row, score.values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", EXAMPLES)
def test_tiny_questions(name: str) -> None:
    """Each is difficult in its own way."""
    ensure_alike(EXAMPLES[name].problem())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    """Files as people have them, with machines of one type and groups of devices."""
    for task in ask(None, path).tasks(None)[:3]:
        ensure_alike(task.problem)


@pytest.mark.parametrize("objective", ["rate", "response"])
def test_servers_of_one_type(objective: str) -> None:
    """Many of their chains are equally fast; which one is taken decides which are left."""
    ensure_alike(ask(None, FLEET, objective=objective).tasks(None)[0].problem)
