"""The beam finds optima of small instances, and its answers keep the rules."""

from __future__ import annotations

import numpy as np
import pytest

from objectives.combine import TERMS, Objective
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.pipeline.solvers.beam import Beam
from placement.kinds.pipeline.solvers.exact import Exact
from placement.search.loop import run
from tests.objectives.pipeline.cases import tables


@pytest.mark.parametrize("name", TERMS)
def test_beam_is_near_the_optimum(name: str) -> None:
    """Within 2% of the proven optimum on eight nodes, one of them a copy, with forbidden cuts."""
    rng = np.random.default_rng(5)
    problem = PipelineProblem(tables(rng, 8, 24, 4, kinds={"cuts", "twins", "uneven"}), Objective({name: 1.0}))
    start = problem.starts()
    best = run(problem, Exact(), rng=rng, start=start, stop=lambda _: None)
    found = run(problem, Beam(most_labels=1e5), rng=rng, start=start, stop=lambda _: None)
    assert best.score.violation == found.score.violation == 0
    assert best.score.cost * (1 - 1e-9) <= found.score.cost <= best.score.cost * 1.02


def test_beam_uses_words_for_many_nodes() -> None:
    """More nodes than bits in a word; every node at most once."""
    rng = np.random.default_rng(6)
    problem = PipelineProblem(tables(rng, 70, 90, room=1.5), Objective())
    found = run(problem, Beam(most_labels=6e4), rng=rng, start=problem.starts(), stop=lambda _: None)
    nodes = [span.node for span in found.spans]
    assert found.score.violation == 0
    assert len(set(nodes)) == len(nodes)
