"""Replicated problems: kernels equal the reference, moves keep genomes well formed, solvers reach brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from objectives.combine import REPLICATED, Objective
from objectives.replicated.flow_bounds import capped_bound
from objectives.spans import Span
from placement import optimize
from placement.errors import InputError
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.kinds.replicated.solvers.chain import Chain
from placement.kinds.replicated.solvers.packing import Packing
from placement.kinds.replicated.solvers.portfolio import ReplicatedPortfolio
from placement.kinds.replicated.solvers.yardsticks import EqualStages, Petals, Separate
from placement.question.objective import objective_of
from placement.readers.helix import is_helix, load_helix, read_helix
from placement.search.kernels.loops import vary
from placement.search.loop import run
from placement.search.solvers.annealing import Annealing
from placement.search.stop import first, max_evaluations, target
from tests.objectives.replicated.cases import make_case, random_spans


def problem_of(
    seed: int, objective: Any = "flow", limits: Any = None, partial: bool = False, **kwargs: Any
) -> ReplicatedProblem:
    tables = read_helix(make_case(seed, **kwargs), partial=partial).tables
    rng = np.random.default_rng(seed)
    running = np.sort(rng.integers(0, tables.n_blocks + 1, (tables.n_nodes, 2)), axis=1)
    must = np.column_stack([rng.integers(0, tables.n_nodes, 2), rng.integers(-1, tables.n_blocks, 2)])
    tables = replace(
        tables, running=running, min_replicas=1 + seed % 2, max_stages=4 + seed % 3, must=must, max_nodes=seed % 3 * 5
    )
    return ReplicatedProblem(tables, objective_of(objective, REPLICATED, limits))


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_kernel_terms_equal_the_reference(seed: int, partial: bool) -> None:
    """Every term and the violation, with limits, replicas, long chains and a running placement."""
    problem = problem_of(
        seed,
        "served",
        {"survival": 0.9, "price": 3.0, "replicas": 2, "ttft": 0.5},
        partial,
        nodes=11,
        regions=1 + seed % 2,
    )
    rng = np.random.default_rng(seed)
    rows = np.array([np.array(random_spans(problem.tables, rng)).T.ravel() for _ in range(60)])
    values, broken = problem.terms(rows)
    costs, _ = problem.evaluate(rows)
    for row, found, violation, cost in zip(rows, values, broken, costs, strict=True):
        score = problem.score(problem.decode(row))
        np.testing.assert_allclose(found, score.values, rtol=1e-9, atol=1e-12)
        assert violation == pytest.approx(score.violation, rel=1e-9, abs=1e-12)
        assert cost == pytest.approx(score.cost, rel=1e-9)


@pytest.mark.parametrize("left_out", [("decode_ms_per_layer",), ("decode_ms_per_layer", "prompt_ms_per_layer")])
def test_a_case_without_seconds_has_the_terms_of_the_reference(left_out: tuple[str, ...]) -> None:
    """Helix files may leave measured times out: nobody computes for any time then, and nobody waits."""
    case = make_case(2, nodes=6, blocks=6)
    case["node_types"] = {
        name: {key: value for key, value in entry.items() if key not in left_out}
        for name, entry in case["node_types"].items()
    }
    problem = ReplicatedProblem(read_helix(case).tables, objective_of("served", REPLICATED, None))
    rng = np.random.default_rng(0)
    rows = np.array([np.array(random_spans(problem.tables, rng)).T.ravel() for _ in range(30)])
    for row, found in zip(rows, problem.terms(rows)[0], strict=True):
        np.testing.assert_allclose(found, problem.score(problem.decode(row)).values, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_moves_keep_genomes_well_formed(seed: int) -> None:
    """Spans lie within the model and within what nodes can hold; encode undoes decode."""
    problem = problem_of(seed, nodes=9, regions=2)
    rng = np.random.default_rng(seed)
    parents = np.concatenate([problem.starts(), problem.random(rng, 20)])
    children = np.empty_like(parents)
    n = problem.tables.n_nodes
    for _ in range(30):
        vary(parents, children, problem.data, rng, 0.5, 3)
        sizes = children[:, n:] - children[:, :n]
        assert (children >= 0).all()
        assert (children <= problem.tables.n_blocks).all()
        assert (sizes >= 0).all()
        assert (sizes <= problem.tables.most_blocks).all()
        parents = children.copy()
    for genome in parents:
        spans = problem.decode(genome)
        assert problem.decode(problem.encode(spans)) == spans


def best_by_brute_force(tables: Any, nodes: int) -> float:
    """Best flow over every placement of the first `nodes` nodes."""
    problem = ReplicatedProblem(tables, objective_of("flow", REPLICATED))
    options = []
    for node in range(nodes):
        most = int(tables.most_blocks[node])
        spans = [(a, b) for a in range(tables.n_blocks) for b in range(a + 1, min(tables.n_blocks, a + most) + 1)]
        options.append([(0, 0), *spans])
    rows = np.zeros((int(np.prod([len(row) for row in options])), 2 * tables.n_nodes), dtype=np.int64)
    for k, chosen in enumerate(product(*options)):
        for node, (start, stop) in enumerate(chosen):
            rows[k, node], rows[k, tables.n_nodes + node] = start, stop
    costs, broken = problem.evaluate(rows)
    good = broken == 0
    return float(1.0 / costs[good].min()) if good.any() else 0.0


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_portfolio_reaches_brute_force(seed: int, partial: bool) -> None:
    """On clusters small enough to try everything."""
    tables = read_helix(make_case(seed, nodes=4, blocks=4, regions=1 + seed % 2), partial=partial).tables
    best = best_by_brute_force(tables, 4)
    assert best > 0
    problem = ReplicatedProblem(tables, objective_of("flow", REPLICATED))
    stop = first(max_evaluations(3_000_000), target(1.0 / best * (1 + 1e-9)))
    outcome = run(problem, ReplicatedPortfolio(), rng=np.random.default_rng(seed), start=problem.starts(), stop=stop)
    assert 1.0 / outcome.score.cost == pytest.approx(best, rel=1e-9)
    if not partial:
        assert best <= capped_bound(tables) * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_one_more_node_never_lowers_the_best_flow(seed: int) -> None:
    """It may stay idle."""
    tables = read_helix(make_case(seed, nodes=4, blocks=4)).tables
    assert best_by_brute_force(tables, 4) >= best_by_brute_force(tables, 3) * (1 - 1e-12)


@pytest.mark.parametrize(
    "solver", [Annealing(), Packing(), ReplicatedPortfolio()], ids=lambda made: type(made).__name__
)
def test_same_seed_same_trace(solver: Any) -> None:
    """Two runs agree in every improvement."""
    traces = []
    for _ in range(2):
        problem = problem_of(0, nodes=10)
        outcome = run(
            problem,
            solver,
            rng=np.random.default_rng(5),
            start=problem.starts(),
            stop=max_evaluations(60_000),
            prove=False,
        )
        traces.append([(point.evaluations, point.cost) for point in outcome.trace])
    assert traces[0] == traces[1]


@pytest.mark.parametrize("maker", [Petals(), Petals(rebalance=False), EqualStages(), Separate(), Chain()], ids=str)
def test_no_portfolio_is_worse_than_what_swarms_do(maker: Any) -> None:
    """Yardsticks give one genome each; the starts of the search are at least as good."""
    tables = read_helix(make_case(3, nodes=12, blocks=10)).tables
    problem = ReplicatedProblem(tables, objective_of("served", REPLICATED))
    starts = problem.starts()
    genome = next(maker.search(problem, np.random.default_rng(0), starts)).genomes
    assert genome.shape == (1, problem.genome_size)
    costs, broken = problem.evaluate(np.concatenate([starts[:1], genome]))
    if not isinstance(maker, Petals) or not maker.rebalance:
        assert (broken[0], costs[0]) <= (broken[1], costs[1] * (1 + 1e-12))


def test_plan_holds_one_span_per_node_and_routing_that_sums_to_one() -> None:
    """The plan can be checked by anybody: ranges, routing weights, chains."""
    case = read_helix(make_case(1, nodes=10))
    plan = optimize(None, case, time_limit=1.0).plan
    assert plan.status == "solved"
    assert len(plan.ranges) == 10
    problem = ReplicatedProblem(case.tables, objective_of("served", REPLICATED))
    spans = [Span(i, a, b) for i, (a, b) in enumerate(plan.ranges) if b > a]
    assert 1.0 / problem.score(spans).cost == pytest.approx(plan.objective.value)
    assert sum(route.weight for route in plan.routing if route.source == "client") == pytest.approx(1.0)
    assert sum(chain.tokens_per_s or 0.0 for chain in plan.chains) == pytest.approx(plan.figures.flow_tokens_per_s)
    assert plan.to_dict()["kind"] == "replicated"


def test_limits_are_respected() -> None:
    """Two holders of every block and a price limit."""
    case = read_helix(make_case(2, nodes=12, blocks=8))
    case = replace(case, tables=replace(case.tables, min_replicas=2))
    plan = optimize(None, case, limits={"price": 12.0}, time_limit=1.5).plan
    assert plan.status == "solved"
    assert plan.figures.min_holders >= 2
    assert plan.figures.price_per_hour <= 12.0 * (1 + 1e-9)


def test_objectives_name_what_is_wrong() -> None:
    """Unknown names offer the nearest one; `served` is throughput."""
    assert objective_of("served", REPLICATED).single == "throughput"
    assert objective_of({"flow": 2.0}, REPLICATED).value(2.0 / 50) == pytest.approx(50.0)
    assert objective_of("survival", REPLICATED).value(0.25) == pytest.approx(0.75)
    with pytest.raises(InputError, match="did you mean 'flow'"):
        objective_of("flwo", REPLICATED)
    with pytest.raises(InputError, match="unknown limit"):
        objective_of("flow", REPLICATED, {"colour": 1})
    assert Objective.of("latency").terms is not REPLICATED


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_search_needs_some_time(seconds: float) -> None:
    """As for pipelines and fleets."""
    with pytest.raises(InputError, match="time_limit: expected a positive number of seconds"):
        optimize(None, read_helix(make_case(0)), time_limit=seconds)


def test_reader_names_what_is_wrong(tmp_path: Path) -> None:
    """Missing keys and unknown types are single lines."""
    case = make_case(0)
    assert is_helix(case)
    assert not is_helix({"nodes": []})
    broken = dict(case, nodes=[{"type": "X"}])
    with pytest.raises(InputError, match="there is no node type 'X'"):
        read_helix(broken)
    short = dict(case, links=dict(case["links"], bandwidth=[row[:-1] for row in case["links"]["bandwidth"]]))
    with pytest.raises(InputError, match=r"links\.bandwidth: expected \d+ rows of \d+ numbers"):
        read_helix(short)
    path = tmp_path / "case.json"
    path.write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        load_helix(path)
