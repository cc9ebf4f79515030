"""The covering bound that knows regions: a bound on random instances, and strong where lines are slow one way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from objectives.combine import Objective
from objectives.pipeline.additive import weighted_cost
from objectives.pipeline.node_types import Caps, stage_data
from objectives.pipeline.region_bounds import STEP, region_bound
from objectives.pipeline.relaxation import Relaxation, Relaxed
from objectives.pipeline.tables import CostTables
from objectives.regions import regions
from placement.kinds.pipeline.problem import PipelineProblem
from placement.kinds.pipeline.solvers.exhaustive import Exhaustive
from placement.search.loop import run
from placement.search.stop import time_limit
from tests.objectives.pipeline.cases import KINDS, tables
from tests.sampled import some_quick


def homes(instance: CostTables, rng: np.random.Generator, size: int, slow: float = 1e5) -> CostTables:
    """Homes of `size` nodes behind lines that are slow out and fast in; the client lives in the first."""
    n = instance.n_nodes
    home = np.append(np.arange(n) // size, 0)
    away = home[:, None] != home[None, :]
    out, back = slow * rng.uniform(0.3, 2.0, n + 1)[home], 1e8 * rng.uniform(0.3, 2.0, n + 1)[home]
    band = np.where(away, np.minimum(out[:, None], back[None, :]), 1e10)
    return replace(instance, bandwidth_bytes_per_s=band, latency_s=np.where(away, 0.01, 1e-4))


def covered(instance: CostTables, weights: dict[str, float]) -> tuple[float, float]:
    """The bound, and that of walks."""
    relaxation = Relaxation(instance, 0)
    question = Relaxed(weighted_cost(instance, weights))
    return relaxation.covering_regions(question), relaxation.bound(question, relaxation.fresh(), 400)


def optimum(instance: CostTables, weights: dict[str, float]) -> float:
    problem = PipelineProblem(instance, Objective(weights))
    found = run(
        problem, Exhaustive(), rng=np.random.default_rng(0), start=problem.starts(), stop=time_limit(120), prove=False
    )
    return found.score.cost if found.score.violation == 0 else np.inf


@pytest.mark.parametrize("block", some_quick(range(6), 0))
def test_it_is_a_bound(block: int) -> None:
    """Never above the optimum, with every kind of constraint, in homes and with random links."""
    told = 0
    for seed in range(12 * block, 12 * block + 12):
        rng = np.random.default_rng(seed)
        kinds = {KINDS[seed % len(KINDS)], "uneven"} - {"tie"}
        instance = tables(rng, 4, 5, 4, kinds=kinds, room=1.2 + rng.random())
        if seed % 3:
            instance = homes(instance, rng, 1 + seed % 2, float(rng.choice([1e5, 1e7])))
        weights = {str(rng.choice(["latency", "request_time", "ttft"])): 1.0, "price": float(rng.choice([0.0, 0.01]))}
        weights = {name: weight for name, weight in weights.items() if weight}
        bound, _ = covered(instance, weights)
        best = optimum(instance, weights)
        assert bound <= best * (1 + 1e-9), seed
        told += np.isfinite(bound)
    assert told >= 4


def test_homes_that_must_be_visited_pay_for_it() -> None:
    """Three homes of three unlike nodes, all of them needed: walks circle within one, this bound does not."""
    rng = np.random.default_rng(3)
    instance = homes(tables(rng, 9, 18), rng, 3)
    room = np.full(9, 2.2 * float((instance.weight_bytes + instance.kv_bytes).max()))
    instance = replace(instance, capacity_bytes=room)
    bound, walks = covered(instance, {"latency": 1.0})
    assert bound > 1.05 * walks
    problem = PipelineProblem(instance, Objective())
    assert bound <= problem.evaluate(problem.starts())[0].min()
    assert problem.lower_bound() >= bound * (1 - 1e-9)


def test_any_partition_is_valid_and_one_region_says_nothing() -> None:
    assert regions(np.full((4, 4), 1.0), STEP).tolist() == [0, 0, 0, 0]
    far = np.full((4, 4), 100.0)
    far[:2, :2] = far[2:, 2:] = 1.0
    assert regions(far, STEP).tolist() == [0, 0, 1, 1]
    unlinked = np.where(far > 1, np.inf, far)
    assert len(set(regions(unlinked, STEP).tolist())) == 2
    instance = tables(np.random.default_rng(0), 3, 5)
    relaxation = Relaxation(instance, 0)
    d = stage_data(instance, relaxation.members, weighted_cost(instance, {"latency": 1.0}), Caps())
    alike = d._replace(latency=np.zeros_like(d.latency), per_byte=np.ones_like(d.per_byte))
    assert region_bound(alike, np.ones(len(d.fixed), dtype=np.int64)) == -np.inf


def test_it_says_nothing_where_nodes_may_come_back() -> None:
    instance = tables(np.random.default_rng(1), 4, 5, contiguous=False)
    assert covered(instance, {"latency": 1.0})[0] == -np.inf
