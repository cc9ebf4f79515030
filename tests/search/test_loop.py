"""The loop takes the kernels' scores while it runs, and the reference's word for what it answers with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from placement.search.loop import Outcome, run
from placement.search.problem import Score
from placement.search.solver import Proposal
from placement.search.state import FalseScoreError
from placement.testing import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from objectives.spans import Span
    from placement.search.problem import IntArray, Problem


@dataclass
class Judged:
    """A problem with another reference; everything else is its own."""

    problem: Any
    judge: Callable[[Score], Score]
    asked: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        """What is not the reference."""
        return getattr(self.problem, name)

    def score(self, spans: Sequence[Span]) -> Score:
        """The reference's score as `judge` changes it."""
        self.asked.append(1)
        return self.judge(self.problem.score(spans))


class WorstFirst:
    """Proposes random genomes one by one, each better than the one before."""

    def search(self, problem: Problem, rng: np.random.Generator, start: IntArray) -> Iterator[Proposal]:
        """Thirty of them."""
        genomes = problem.random(rng, 30)
        costs, violations = problem.evaluate(genomes)
        for place in np.lexsort((costs, violations))[::-1]:
            yield Proposal(genomes[[place]], 1)


def searched(problem: Problem) -> Outcome:
    """Thirty genomes with many improvements."""
    rng = np.random.default_rng(3)
    return run(problem, WorstFirst(), rng=rng, start=problem.random(rng, 0))


def tiny() -> Any:
    """Three nodes, eight blocks."""
    return EXAMPLES["three nodes"].problem()


def test_the_reference_is_asked_once_however_many_improvements_there_are() -> None:
    """Its score may take seconds, so only the winner gets one."""
    problem = Judged(tiny(), lambda score: score)
    outcome = searched(problem)
    assert len({point.cost for point in outcome.trace}) > 2
    assert len(problem.asked) == 1
    assert outcome.score.cost == pytest.approx(outcome.trace[-1].cost)


@pytest.mark.parametrize(
    "judge",
    [
        lambda score: Score(score.cost * 1.001, score.violation, score.values),
        lambda score: Score(score.cost, 0.5, score.values),
    ],
    ids=["another cost", "not feasible"],
)
def test_a_kernel_that_the_reference_contradicts_ends_the_run(judge: Callable[[Score], Score]) -> None:
    """No plan is answered with a figure that only one of the two codes believes."""
    with pytest.raises(FalseScoreError, match="by the reference"):
        searched(Judged(tiny(), judge))


def test_a_placement_on_a_limit_gives_way_to_the_one_before() -> None:
    """A rounding error makes the best placement infeasible for the reference: the next best is the answer."""
    plain = searched(tiny())
    best = plain.score.cost

    def judge(score: Score) -> Score:
        return Score(score.cost, 1e-12 if score.cost == best else score.violation, score.values)

    outcome = searched(Judged(tiny(), judge))
    assert outcome.score.violation == 0
    assert best < outcome.score.cost == sorted({point.cost for point in plain.trace if point.violation == 0})[1]
