"""Orders of stages that the estimate cannot tell apart are simulated, and the one that clearly serves more is taken."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from objectives.combine import REPLICATED
from objectives.spans import Span
from placement.kinds.replicated.orders import APART, FEWEST_STAGES, better_order, stages_of
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.optimize import optimize
from placement.question.objective import objective_of
from placement.readers.helix import read_helix
from placement.search.stop import max_evaluations

from ...objectives.replicated.cases import make_case

BLOCKS = 24


def problem_of(seed: int) -> ReplicatedProblem:
    """Fourteen nodes in one place."""
    return ReplicatedProblem(
        read_helix(make_case(seed, nodes=14, blocks=BLOCKS)).tables, objective_of("served", REPLICATED)
    )


def starts_of(problem: ReplicatedProblem) -> list[tuple[Span, ...]]:
    """Constructive placements in stages enough to have an order."""
    found = [problem.decode(genome) for genome in problem.starts()]
    return [spans for spans in found if len(stages_of(spans, BLOCKS)) >= FEWEST_STAGES]


def shapes_of(spans: tuple[Span, ...]) -> Counter[tuple[int, ...]]:
    """The size and the nodes of each stage."""
    stages = stages_of(spans, BLOCKS)
    return Counter((stage[0].stop - stage[0].start, *sorted(span.node for span in stage)) for stage in stages)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 5, 13])
def test_an_order_is_of_the_same_stages_and_serves_more(seed: int) -> None:
    """Same nodes together, of the same sizes; estimated about alike; the same requests are served faster."""
    problem = problem_of(seed)
    answers = [(spans, better_order(problem, spans, np.random.default_rng(0))) for spans in starts_of(problem)[:4]]
    changed = [(spans, found) for spans, found in answers if found is not None]
    assert changed
    for spans, found in changed:
        before, after = (
            Counter(
                (stage[0].stop - stage[0].start, *sorted(span.node for span in stage))
                for stage in stages_of(one, BLOCKS)
            )
            for one in (spans, found.spans)
        )
        assert before == after
        assert problem.score(found.spans).cost <= problem.score(spans).cost * (1.0 + APART)
        assert found.after > found.before * (1.0 + APART)


def test_few_stages_and_spans_that_do_not_line_up_stay() -> None:
    """Nothing is simulated there."""
    problem = problem_of(1)
    whole = [Span(node, 2 * node, 2 * node + 2) for node in range(12)]
    beside = [Span(0, 0, 2), Span(1, 0, 4), *(Span(node, 2 * node - 2, 2 * node) for node in range(2, 14))]
    assert len(stages_of(whole, BLOCKS)) == 12
    assert stages_of(beside, BLOCKS) == []
    assert stages_of(whole[:-1], BLOCKS) == []
    assert better_order(problem, [Span(0, 0, 12), Span(1, 12, 24)], np.random.default_rng(0)) is None


@pytest.mark.slow
def test_a_plan_says_that_its_order_was_simulated() -> None:
    """A plan's estimate is that of the order taken, no bound is lost, and two runs take the same order."""
    changed = 0
    for seed in (0, 5, 13):
        case = read_helix(make_case(seed, nodes=14, blocks=BLOCKS))
        one, two = (optimize(None, case, solver="annealing", seed=1, stop=max_evaluations(300)).plan for _ in range(2))
        assert one.placement == two.placement
        assert one.objective.value == pytest.approx(one.figures.served_tokens_per_s)
        assert one.objective.bound is not None
        assert one.objective.bound >= one.objective.value
        changed += any("in a short simulation" in note for note in one.notes)
    assert changed
