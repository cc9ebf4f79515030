"""The mixed-integer model of replicated placements against brute force, and its groups, warm start and refusals."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from objectives.combine import REPLICATED
from objectives.replicated.flow_bounds import capped_bound
from objectives.replicated.tables import ReplicatedTables
from placement.kinds.milp import Milp
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.kinds.replicated.solvers.milp_flow import FlowTask
from placement.kinds.replicated.solvers.milp_flow_model import TOKENS, build, flow_layout
from placement.question.objective import objective_of
from placement.readers.helix import read_helix
from placement.search.loop import Outcome, run
from placement.search.solver import NotApplicableError
from placement.search.stop import StoppedBy, time_limit
from tests.objectives.replicated.cases import make_case


def case(seed: int, *, partial: bool = False, nodes: int = 4, blocks: int = 4, **more: object) -> ReplicatedTables:
    """A tiny cluster: narrow links and cards on odd seeds, all wide on every fourth, equal nodes on every third."""
    data = make_case(seed, nodes=nodes, blocks=blocks, regions=1 + seed % 2)
    tables = read_helix(data, partial=partial).tables
    rng = np.random.default_rng(seed)
    if seed % 4 == 0:
        wide = np.full_like(tables.bandwidth_bytes_per_s, 1e10)
        tables = replace(tables, bandwidth_bytes_per_s=wide, client_in=1e10, client_out=1e10)
    if partial or seed % 4 == 0:
        tables = replace(tables, nic_in=np.full(nodes, 1e10), nic_out=np.full(nodes, 1e10))
    if seed % 2 and not partial:
        fast = float(tables.rate.max())
        between = tables.token_bytes + tables.activation_bytes
        band = tables.bandwidth_bytes_per_s * 1.0
        n = tables.n_nodes
        band[:n, :n] = np.where(band[:n, :n] > 0, rng.uniform(0.05, 1.2, (n, n)) * fast * between, 0.0)
        band[rng.random(band.shape) < 0.1] = 0.0
        cards = rng.uniform(0.3, 2.0, n) * fast * between
        tables = replace(tables, bandwidth_bytes_per_s=band, nic_in=cards, nic_out=cards[::-1].copy())
    if seed % 3 == 0:
        like = np.arange(tables.n_nodes) // 2 * 2
        ends = np.append(like, tables.n_nodes)
        rows = ("rate", "kv_tokens", "nic_in", "nic_out", "prompt_s", "decode_s", "availability", "price_per_hour")
        band, delay = tables.bandwidth_bytes_per_s[np.ix_(ends, ends)], tables.latency_s[np.ix_(ends, ends)]
        for i in range(0, tables.n_nodes - 1, 2):
            band[i, i + 1] = band[i + 1, i] = tables.bandwidth_bytes_per_s[i, i + 1]
            delay[i, i + 1] = delay[i + 1, i] = tables.latency_s[i, i + 1]
        same = {name: getattr(tables, name)[like] for name in rows}
        tables = replace(tables, bandwidth_bytes_per_s=band, latency_s=delay, **same)
    return replace(tables, **more)  # type: ignore[arg-type]


def brute(tables: ReplicatedTables) -> float:
    """Best flow over every placement; 0 when none is allowed."""
    problem, n = flow(tables), tables.n_nodes
    options = []
    for node in range(n):
        most = int(tables.most_blocks[node])
        spans = [(a, b) for a in range(tables.n_blocks) for b in range(a + 1, min(tables.n_blocks, a + most) + 1)]
        options.append([(0, 0), *spans])
    rows = np.array([[*(a for a, _ in row), *(b for _, b in row)] for row in product(*options)], dtype=np.int64)
    costs, broken = problem.evaluate(rows)
    return float(1.0 / costs[broken == 0].min()) if (broken == 0).any() else 0.0


def flow(tables: ReplicatedTables) -> ReplicatedProblem:
    return ReplicatedProblem(tables, objective_of("flow", REPLICATED))


def solve(problem: ReplicatedProblem, warm_rounds: int = 0, seconds: float = 60) -> Outcome:
    solver = Milp(warm_rounds=warm_rounds)
    return run(
        problem,
        solver,
        rng=np.random.default_rng(0),
        start=problem.starts()[-1:],
        stop=time_limit(seconds),
        prove=False,
    )


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_it_is_brute_force(seed: int, partial: bool) -> None:
    """Narrow and wide links, cards, missing links, equal nodes, several holders: the same optimum, and it is proven."""
    tables = case(seed, partial=partial, min_replicas=1 + (seed % 4 == 2))
    best, found = brute(tables), solve(flow(tables))
    if best == 0:
        assert found.score.violation > 0
        assert found.bound == np.inf or 1.0 / found.bound <= 1e-6 * capped_bound(tables)
        return
    assert found.score.violation == 0
    assert 1.0 / found.score.cost == pytest.approx(best, rel=1e-7)
    assert found.stopped_by is StoppedBy.OPTIMAL


@pytest.mark.parametrize("seed", range(4))
def test_cards_under_partial_edges(seed: int) -> None:
    """What a card carries then depends on who feeds the node; the model takes the smaller size: bounds are bounds."""
    tables = case(seed, partial=True)
    cards = np.random.default_rng(seed).uniform(1e7, 1e8, tables.n_nodes)
    tables = replace(tables, nic_in=cards, nic_out=cards)
    best, found = brute(tables), solve(flow(tables))
    assert best > 0
    assert 1.0 / found.bound >= best * (1 - 1e-9)
    assert 1.0 / found.score.cost <= best * (1 + 1e-9)


def test_cases_are_of_both_kinds() -> None:
    """The brute-force cases above have wide and narrow links, groups of several nodes, twins and placements."""
    rooms = [flow_layout(case(seed, partial=partial)) for seed in range(8) for partial in (False, True)]
    assert any(room.wide for room in rooms)
    assert any(room.narrow for room in rooms)
    assert any(room.twins for room in rooms)
    assert any(len(nodes) > 1 for room in rooms for nodes in room.groups)
    assert sum(brute(case(seed)) > 0 for seed in range(8)) >= 5


@pytest.mark.parametrize("seed", range(6))
def test_a_plan_is_a_solution(seed: int) -> None:
    """The columns of any plan keep to every row, with its max flow as the model's; so a warm start is taken."""
    import pyomo.environ as pyo

    tables = case(seed, nodes=6, blocks=6)
    problem = flow(tables)
    room = flow_layout(tables)
    for genome in problem.random(np.random.default_rng(seed), 10):
        task, spans = FlowTask(problem, room, genome), problem.decode(genome)
        value = problem.details(spans)[0].flow
        if value <= 0:
            continue
        model, known = build(room), task.values(task.ordered(spans))
        for variable in model.component_data_objects(pyo.Var):
            key = (variable.parent_component().local_name, variable.index())
            variable.set_value(known.pop(key, 0.0), skip_validation=True)
        assert not known
        assert pyo.value(model.goal) == pytest.approx(-TOKENS * value / room.most, rel=1e-9)
        for row in model.component_data_objects(pyo.Constraint, active=True):
            body = pyo.value(row.body)
            assert row.lower is None or body >= pyo.value(row.lower) - 1e-6
            assert row.upper is None or body <= pyo.value(row.upper) + 1e-6


def test_warm_start_bound_and_stop() -> None:
    """The metaheuristic's plan is never lost, the first bound is no worse than the quick one, and it can be dropped."""
    problem = flow(case(2, nodes=10, blocks=12))
    begun = 1.0 / problem.evaluate(problem.starts())[0].min()
    search = Milp(warm_rounds=3).search(problem, np.random.default_rng(0), problem.starts())
    proposals = [next(search) for _ in range(5)]
    assert isinstance(search, Generator)
    search.close()
    assert max(proposal.bound for proposal in proposals) <= 1.0 / begun * (1 + 1e-9)
    found = run(
        problem,
        Milp(warm_rounds=3),
        rng=np.random.default_rng(0),
        start=problem.starts()[-1:],
        stop=lambda told: told.bound > -np.inf and 1.0 / told.cost >= begun * (1 - 1e-9),
        seconds=120,
        prove=False,
    )
    assert 1.0 / found.score.cost >= begun * (1 - 1e-9)
    assert found.bound >= problem.lower_bound() * (1 - 1e-6)


def test_what_it_does_not_cover() -> None:
    tables = case(1)
    rng = np.random.default_rng(0)
    for objective, limits in (("served", None), ("flow, price", None), ("flow", {"price": 3.0})):
        problem = ReplicatedProblem(tables, objective_of(objective, REPLICATED, limits))
        with pytest.raises(NotApplicableError, match="objective flow"):
            next(Milp().search(problem, rng, problem.starts()))
    for problem, solver, message in (
        (flow(replace(tables, max_stages=2)), Milp(), "max_stages"),
        (flow(tables), Milp(most_columns=5), "columns"),
    ):
        with pytest.raises(NotApplicableError, match=message):
            next(solver.search(problem, rng, problem.starts()))
