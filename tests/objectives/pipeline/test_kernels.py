"""The compiled kernels against the reference code."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.combine import TERMS, Objective
from objectives.pipeline.rounds import Rounds
from objectives.pipeline.tables import CostTables
from objectives.spans import Span
from placement.kinds.pipeline.problem import PipelineProblem
from placement.search.kernels.loops import wander


def random_tables(rng: np.random.Generator, contiguous: bool, ties: bool, n: int = 4, m: int = 7) -> CostTables:
    """Small random tables with every kind of constraint in them."""
    batches = np.array([1, 2, 3, 5])
    base = rng.uniform(0.1, 2.0, (n, m))
    bandwidth = rng.uniform(1e3, 1e5, (n + 1, n + 1)) * (rng.random((n + 1, n + 1)) < 0.9)
    cuts = rng.random(m + 1) < 0.85
    cuts[[0, -1]] = True
    return CostTables(
        batches=batches,
        decode_s=base[None] * (0.7 + 0.3 * batches)[:, None, None],
        prefill_s=rng.uniform(0.5, 4.0, (n, m)),
        weight_bytes=rng.uniform(10, 100, m),
        kv_bytes=rng.uniform(0, 20, m) * (rng.random(m) < 0.8),
        capacity_bytes=rng.uniform(50, 400, n),
        cut_bytes=rng.uniform(10, 100, m + 1),
        prompt_cut_bytes=rng.uniform(100, 1000, m + 1),
        latency_s=rng.uniform(0, 0.3, (n + 1, n + 1)),
        bandwidth_bytes_per_s=bandwidth,
        price_per_hour=rng.uniform(0, 3, n),
        power_w=rng.uniform(0, 300, n),
        cut_allowed=cuts,
        allowed=rng.random((n, m)) < 0.9,
        ties=np.array([[0, m - 1], [1, 3]] if ties else np.empty((0, 2)), dtype=np.int64),
        required=rng.random(n) < 0.2,
        max_nodes=int(rng.integers(1, n + 1)),
        contiguous=contiguous,
        output_tokens=20,
        concurrency=6,
        prompt_overlap=float(rng.choice([0.0, 0.6])),
        beside_s=rng.uniform(0, 3, (len(batches), n)) * (rng.random(n) < 0.3) if rng.random() < 0.5 else None,
        served=random_rounds(rng, len(batches), n, m) if rng.random() < 0.5 else None,
    )


def random_rounds(rng: np.random.Generator, sizes: int, n: int, m: int) -> Rounds:
    """What a stream costs, at random; some passes always carry prompts."""
    return Rounds(
        short_s=rng.uniform(0.1, 2.0, (sizes, n, m)),
        convoy_s=rng.uniform(0.0, 4.0, (sizes, n, m)),
        share=np.minimum(1.0, rng.uniform(0.0, 1.2, sizes)),
        tokens=rng.uniform(0.5, 5.0, sizes),
        prompts=rng.uniform(0.0, 2.0, sizes),
        passes=rng.uniform(1.0, 1.5, sizes),
        fixed_s=rng.uniform(0.0, 0.5, sizes),
        staged=bool(rng.random() < 0.7),
    )


OBJECTIVE = Objective(
    {
        "latency": 1.0,
        "ttft": 0.3,
        "throughput": 2.0,
        "price": 0.1,
        "energy": 0.01,
        "bottleneck": 0.5,
        "decode_rate": 1.5,
    },
    {"ttft": 12.0, "throughput": 0.3, "price": 4.0, "decode_rate": 0.2},
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_kernel_equals_reference(seed: int, contiguous: bool, ties: bool) -> None:
    """Terms and violation of the compiled kernel are those of the plain code, for any genome that moves can reach."""
    rng = np.random.default_rng(seed)
    problem = PipelineProblem(random_tables(rng, contiguous, ties), OBJECTIVE)
    genome = problem.encode([Span(int(rng.integers(4)), 0, 7)])
    for _ in range(5):
        wander(genome, problem.data, rng, 6)
        spans = problem.decode(genome)
        assert [span.start for span in spans[1:]] == [span.stop for span in spans[:-1]]
        assert (spans[0].start, spans[-1].stop) == (0, 7)
        assert all(span.stop > span.start for span in spans)
        assert all(a.node != b.node for a, b in itertools.pairwise(spans))
        values, broken = problem.terms(genome[None, :])
        terms, violation = problem.details(spans)
        np.testing.assert_allclose(values[0], [terms.values[name] for name in TERMS], rtol=1e-9)
        np.testing.assert_allclose(broken[0], violation.total, rtol=1e-9, atol=1e-12)
        costs, broken = problem.evaluate(genome[None, :])
        np.testing.assert_allclose([costs[0], broken[0]], [problem.score(spans).cost, violation.total], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_spans_score_the_same(seed: int) -> None:
    """Also for spans that no move would make: a node coming again in contiguous mode."""
    rng = np.random.default_rng(seed)
    problem = PipelineProblem(random_tables(rng, True, True), OBJECTIVE)
    stops = [*sorted(rng.choice(np.arange(1, 7), 3, replace=False).tolist()), 7]
    spans = [Span(int(rng.integers(4)), a, b) for a, b in zip([0, *stops], stops, strict=False)]
    genome = problem.encode(spans)
    terms, violation = problem.details(problem.decode(genome))
    values, broken = problem.terms(genome[None, :])
    np.testing.assert_allclose(values[0], [terms.values[name] for name in TERMS], rtol=1e-9)
    np.testing.assert_allclose(broken[0], violation.total, rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_relabelling_nodes_relabels_the_score(seed: int) -> None:
    """A permutation of the nodes changes no figure."""
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, False, True)
    order = rng.permutation(4)
    places = np.append(order, 4)
    changed: dict[str, Any] = {
        "decode_s": tables.decode_s[:, order],
        "latency_s": tables.latency_s[np.ix_(places, places)],
        "bandwidth_bytes_per_s": tables.bandwidth_bytes_per_s[np.ix_(places, places)],
    }
    if tables.beside_s is not None:
        changed["beside_s"] = tables.beside_s[:, order]
    if tables.served is not None:
        served = tables.served
        changed["served"] = replace(served, short_s=served.short_s[:, order], convoy_s=served.convoy_s[:, order])
    rows = ("prefill_s", "capacity_bytes", "price_per_hour", "power_w", "allowed", "required")
    changed |= {name: getattr(tables, name)[order] for name in rows}
    other = CostTables(**{name: changed.get(name, getattr(tables, name)) for name in CostTables.__slots__})
    first, second = PipelineProblem(tables, OBJECTIVE), PipelineProblem(other, OBJECTIVE)
    genome = first.encode([Span(0, 0, 7)])
    wander(genome, first.data, rng, 12)
    spans = first.decode(genome)
    inverse = np.argsort(order)
    moved = [Span(int(inverse[span.node]), span.start, span.stop) for span in spans]
    one, two = first.score(spans), second.score(moved)
    np.testing.assert_allclose([one.cost, one.violation], [two.cost, two.violation], rtol=1e-9)
