"""Regions of nodes by their links, and placements whose chains pass one region after the other."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest

from objectives.combine import REPLICATED
from objectives.replicated.node_kinds import families, regions
from objectives.replicated.tables import IntArray, ReplicatedTables
from placement.kinds.replicated.problem import ReplicatedProblem
from placement.kinds.replicated.solvers.portfolio import ReplicatedPortfolio
from placement.kinds.replicated.starts import by_regions, short_orders
from placement.question.objective import objective_of
from placement.readers.helix import read_helix

from ...objectives.replicated.cases import make_case


def tables_of(places: list[int], far_s: float = 0.05) -> ReplicatedTables:
    """Nodes at these places, 1 ms apart within one; the client is at the first node's."""
    tables = read_helix(make_case(3, nodes=len(places), blocks=12), partial=False).tables
    at = np.array([*places, places[0]])
    latency = np.where(at[:, None] == at[None, :], 0.001, far_s * np.abs(at[:, None] - at[None, :]))
    return replace(tables, latency_s=latency, bandwidth_bytes_per_s=np.full_like(latency, 1e10))


def passed(problem: ReplicatedProblem, genome: IntArray) -> list[int]:
    """Regions by the order in which blocks meet them, each time that a chain goes on to another one."""
    region = regions(problem.tables)
    met = [int(region[span.node]) for span in problem.decode(genome)]
    return [here for k, here in enumerate(met) if k == 0 or here != met[k - 1]]


@pytest.mark.parametrize("places", [[0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 2, 2, 1], [2, 1, 0, 0]])
def test_near_hops_join_a_region(places: list[int]) -> None:
    """Nodes of a place are of one region, those of different places of different ones, whatever their order."""
    region = regions(tables_of(places))
    assert (np.equal.outer(region, region) == np.equal.outer(places, places)).all()


def test_links_alike_are_one_region() -> None:
    """Where no hop is three times as long as the next shorter one, there is nothing to part."""
    assert regions(tables_of([0, 0, 1, 1], far_s=0.002)).tolist() == [0, 0, 0, 0]


def test_a_family_computes_alike_in_one_region() -> None:
    """Nodes of a family have the same rates and the same region, others differ in one of them."""
    tables = tables_of([0, 0, 0, 0, 1, 1, 1, 1])
    region, family = regions(tables), families(tables)
    for i in range(8):
        for j in range(8):
            alike = region[i] == region[j] and bool((tables.rate[i] == tables.rate[j]).all())
            assert (family[i] == family[j]) == alike


def test_the_shortest_way_comes_first() -> None:
    """Orders of four places in a row, the client at the first: by the length of the way through them and back."""
    orders = short_orders(tables_of([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 0, 1, 1, 2, 2, 3, 3]))
    ways = [sum(abs(a - b) for a, b in pairwise((0, *order, 0))) for order in orders]
    assert ways == sorted(ways)
    assert len(orders) == len(set(orders)) == 24


def test_chains_pass_regions_one_by_one() -> None:
    """In constructive placements by regions each of three is met once; random ones begin so, and hold all blocks."""
    problem = ReplicatedProblem(tables_of([0, 0, 1, 1, 2, 2, 0, 1, 2]), objective_of("served", REPLICATED))
    rows = by_regions(problem, np.array([3, 6, 9]))
    placed = [row for row in rows if problem.evaluate(row[None, :])[1][0] == 0]
    assert len(placed) > 20
    assert all(len(passed(problem, row)) == 3 for row in placed)
    drawn = problem.random_by_regions(np.random.default_rng(0), 20)
    assert (problem.evaluate(drawn)[1] == 0).any()
    assert any(len(passed(problem, row)) == 3 for row in drawn)


def test_one_region_has_no_such_starts() -> None:
    """Where all links are alike there is no order of regions to begin with."""
    problem = ReplicatedProblem(tables_of([0, 0, 0, 0]), objective_of("served", REPLICATED))
    assert by_regions(problem, np.array([1, 4])) == []


@pytest.mark.slow  # compiles a loop that few tests need
@pytest.mark.parametrize(
    ("objective", "places", "goes_along"),
    [("served", [0, 0, 1, 1], True), ("served", [0, 0, 0, 0], False), ("flow", [0, 0, 1, 1], False)],
)
def test_replica_exchange_goes_along_over_wide_areas(objective: str, places: list[int], goes_along: bool) -> None:
    """The portfolio has rounds of replica exchange where there are several regions, but for flow, and none in one."""
    problem = ReplicatedProblem(tables_of(places), objective_of(objective, REPLICATED))
    rounds = ReplicatedPortfolio().search(problem, np.random.default_rng(0), problem.starts())
    assert ("tempering" in {proposal.solver for proposal in islice(rounds, 10)}) == goes_along
