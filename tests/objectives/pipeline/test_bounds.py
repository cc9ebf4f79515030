"""Bounds never exceed the optimum, and are near it where they can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import TERMS, Objective
from objectives.pipeline.additive import step_cost, weighted_cost
from objectives.pipeline.bounds import lower_bound
from objectives.pipeline.node_types import node_classes
from objectives.pipeline.terms import cost, pipeline_terms
from placement.kinds.pipeline.exact.search import run_cost
from placement.kinds.pipeline.exact.space import Space
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.pipeline.solvers.exact import Exact
from placement.kinds.pipeline.solvers.exhaustive import Exhaustive
from placement.search.loop import run
from tests.objectives.pipeline.cases import random_objective, tables, tiny

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=40, deadline=None)


def optimum(problem: PipelineProblem, solver: Exact | Exhaustive) -> float:
    outcome = run(
        problem, solver, rng=np.random.default_rng(0), start=problem.starts(), stop=lambda _: None, prove=False
    )
    return outcome.score.cost if outcome.score.violation == 0 else np.inf


@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("block", range(3))
def test_bound_is_at_most_the_optimum(contiguous: bool, block: int) -> None:
    """On random tiny instances with all kinds of constraints, objectives and limits."""
    for seed in range(1000 + 15 * block, 1015 + 15 * block):
        rng = np.random.default_rng(seed)
        instance = tiny(rng, contiguous=contiguous)
        plain = PipelineProblem(instance, Objective())
        values, broken = plain.terms(plain.random(rng, 20))
        problem = PipelineProblem(instance, random_objective(rng, values[broken <= broken.min()]))
        assert lower_bound(instance, problem.objective, 2e7) <= optimum(problem, Exhaustive()) * (1 + 1e-12)


@pytest.mark.parametrize("name", TERMS)
def test_bound_is_near_the_optimum(name: str) -> None:
    """Within 3% on average on instances of eight nodes (a stream: 6%, stages are not counted), and never above."""
    gaps = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        problem = PipelineProblem(tables(rng, 8, 24, 8, room=2.0), Objective({name: 1.0}))
        best = optimum(problem, Exact())
        bound = lower_bound(problem.tables, problem.objective)
        assert bound <= best
        gaps.append(best / bound - 1)
    assert np.mean(gaps) < (0.06 if name == "throughput" else 0.03)


@given(seeds, st.sampled_from(TERMS))
@few
def test_more_memory_never_raises_the_optimum_above_the_bound_before(seed: int, name: str) -> None:
    """The bound of a roomier instance is at most the optimum of the tighter one."""
    rng = np.random.default_rng(seed)
    tight = tables(rng, 3, 6, 2, room=2.0)
    roomy = replace(tight, capacity_bytes=tight.capacity_bytes * 1.3)
    best = optimum(PipelineProblem(tight, Objective({name: 1.0})), Exact())
    assert lower_bound(roomy, Objective({name: 1.0}), 2e7) <= best * (1 + 1e-12)


@given(seeds)
@few
def test_additive_parts_add_up_to_the_reference(seed: int) -> None:
    """Weighted additive terms of a pipeline equal the reference cost, and a step that of its size."""
    rng = np.random.default_rng(seed)
    instance = tables(rng, 4, 9, 4, kinds={"uneven"})
    problem = PipelineProblem(instance, Objective())
    genome = problem.random(rng, 1)[0]
    terms = pipeline_terms(instance, problem.decode(genome))
    weights = {"latency": 0.5, "ttft": 2.0, "request_time": 0.1, "price": 1.5, "energy": 0.01}
    space = Space.of(instance)
    total = run_cost(space, weighted_cost(instance, weights), genome, problem.width)
    assert total == pytest.approx(cost(Objective(weights), terms), rel=1e-9)
    step = run_cost(space, step_cost(instance, 0), genome, problem.width)
    assert step == pytest.approx(terms.values["latency"], rel=1e-9)


def test_classes_are_nodes_that_can_be_exchanged() -> None:
    """Copies share a class; one link of its own takes a node out of it."""
    instance = tables(np.random.default_rng(0), 6, 4, kinds={"twins"})
    classes = node_classes(instance)
    assert len(set(classes.tolist())) == len({row.tobytes() for row in instance.prefill_s})
    pair = next((i, j) for i in range(6) for j in range(i) if classes[i] == classes[j])
    latency = instance.latency_s.copy()
    latency[pair[0], instance.client] *= 2
    assert len(set(node_classes(replace(instance, latency_s=latency)).tolist())) == len(set(classes.tolist())) + 1


def test_an_impossible_instance_has_an_infinite_bound() -> None:
    instance = tables(np.random.default_rng(0), 3, 6, room=2.0)
    small = replace(instance, capacity_bytes=np.full(3, 1.0))
    assert lower_bound(small, Objective()) == np.inf


@pytest.mark.parametrize("contiguous", [True, False])
def test_the_bound_at_no_effort_is_at_most_the_optimum(contiguous: bool) -> None:
    """Every block at its fastest node is never dearer than the best pipeline; the plain splits are placements."""
    for seed in range(3000, 3020):
        rng = np.random.default_rng(seed)
        instance = tiny(rng, contiguous=contiguous)
        problem = PipelineProblem(instance, random_objective(rng))
        assert problem.bare_bound() <= optimum(problem, Exhaustive()) * (1 + 1e-9)
        assert all(problem.decode(row)[-1].stop == instance.n_blocks for row in problem.glances())
