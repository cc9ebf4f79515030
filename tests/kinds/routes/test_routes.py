"""Chains through a given swarm: exact fronts against brute force, NSGA-II, bad input."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from objectives.pareto import dominates, front, hypervolume
from objectives.routes.swarm import Shape, Swarm, route_of
from placement.cli import run
from placement.errors import InfeasibleError, InputError
from placement.kinds.routes.front import exact_front, exact_front_3d, values_of
from placement.kinds.routes.problem import RouteProblem, hypervolume_ratio, search_front
from placement.readers.swarm import read_swarm, swarm_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "petals_swarm.yaml"
SHAPES: tuple[Shape, Shape] = ("star", "chain")


def swarm(seed: int, servers: int = 6, blocks: int = 6) -> Swarm:
    """A random swarm; the first two servers hold everything between them."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, blocks - 1, servers)
    stops = np.minimum(starts + rng.integers(1, blocks, servers), blocks)
    starts[:2], stops[:2] = (0, blocks // 2), (blocks // 2, blocks)
    rtt = rng.uniform(0.01, 0.1, (servers + 1, servers + 1))
    return Swarm(
        tuple(f"s{j}" for j in range(servers)), starts, stops, rng.uniform(0.001, 0.02, servers),
        rng.uniform(1, 9, servers).round(), (rtt + rtt.T) / 2, blocks, price=rng.uniform(1, 5, servers).round(),
        survival=rng.uniform(0.8, 0.99, servers),
    )  # fmt: skip


def data(**changes: object) -> dict[str, object]:
    """A swarm file of two servers."""
    one = {"ms_per_block": 2, "tokens_per_s": 5}
    plain: dict[str, object] = {
        "blocks": 4, "client": {"site": "x"}, "rtt_ms": {"x": {"y": 20}},
        "servers": [
            {"name": "a", "site": "x", "blocks": "0:2", **one},
            {"name": "b", "site": "y", "blocks": "2:4", **one},
        ],
    }  # fmt: skip
    return plain | changes


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("third", [None, "price", "reliability"])
@pytest.mark.parametrize("seed", range(4))
def test_exact_front_equals_brute_force(seed: int, third: str | None, shape: Shape) -> None:
    """All chains tried, the same front comes out, for two and for three objectives."""
    small = swarm(seed)
    holders = [np.flatnonzero((small.starts <= b) & (b < small.stops)).tolist() for b in range(small.n_blocks)]
    every = tuple(route_of(small, way, shape, third) for way in product(*holders))
    values = np.array(values_of(every, thirds=third is not None))
    wanted = values[front(values)]
    found = exact_front_3d(small, shape, third) if third else exact_front(small, shape)
    assert np.array(values_of(found, thirds=third is not None)) == pytest.approx(wanted)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("third", ["price", "reliability"])
@pytest.mark.parametrize("seed", range(4))
def test_a_coarse_front_covers_the_exact_one(seed: int, third: str, shape: Shape) -> None:
    """Each exact chain has one as fast in tokens/s that is at most the precision above it in both other values."""
    few = swarm(seed, servers=9, blocks=7)
    exact = np.array(values_of(exact_front_3d(few, shape, third), thirds=True))
    for precision in (0.05, 0.3):
        coarse = np.array(values_of(exact_front_3d(few, shape, third, precision=precision), thirds=True))
        room = np.array([1.0 + precision, 1.0, 1.0 + precision]) * (1 + 1e-12)
        assert all((coarse <= row * room).all(axis=1).any() for row in exact)
        assert len(coarse) <= len(exact)


@pytest.mark.parametrize("shape", SHAPES)
def test_nsga2_never_dominates_the_exact_front(shape: Shape) -> None:
    """NSGA-II comes near the exact front and never beats it."""
    small = swarm(11, servers=12, blocks=10)
    exact, found = exact_front(small, shape), search_front(small, shape, seconds=0.5)
    for mine in values_of(found):
        assert not any(dominates(mine, point) for point in values_of(exact))
    assert 0.9 <= hypervolume_ratio(found, exact) <= 1.0 + 1e-9


def test_offspring_are_chains() -> None:
    """Moves and crossover give every block to a server that holds it; kernel and reference score alike."""
    from placement.kinds.routes.kernels.routes import route_crossover, route_neighbour

    problem, rng = RouteProblem(swarm(5)), np.random.default_rng(0)
    one, two = problem.random(rng, 2)
    out = one.copy()
    for k in range(300):
        if k % 2:
            route_neighbour(one, problem.data, rng, out)
        else:
            route_crossover(one, two, problem.data, rng, out)
        one, two = out.copy(), one
        assert all(problem.swarm.starts[j] <= b < problem.swarm.stops[j] for b, j in enumerate(one))
        score = problem.score(problem.decode(one))
        assert problem.terms(one[None, :])[0][0] == pytest.approx(score.values)


def test_hypervolume_by_hand() -> None:
    """Two boxes in the plane, three in space."""
    assert hypervolume([(1, 2), (2, 1), (2, 2)], (3, 3)) == pytest.approx(3.0)
    assert hypervolume([(0, 0, 0)], (2, 3, 4)) == pytest.approx(24.0)
    assert hypervolume([(0, 1, 0), (1, 0, 0), (0, 0, 1)], (2, 2, 2)) == pytest.approx(7.0)


def test_the_example_routes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`placement route` prints the front and draws it."""
    picture = tmp_path / "front.svg"
    assert run(["route", str(EXAMPLE), "--json", "--nsga2", "0.3", "--plot", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["front"]) >= 3
    assert found["nsga2_hypervolume_ratio"] <= 1.0 + 1e-9
    assert "throughput, tokens/s" in picture.read_text(encoding="utf-8")
    assert read_swarm(EXAMPLE).n_blocks == 32


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"rtt_ms": {}}, "round trip between a .* and b"),
        (
            {"servers": [{"name": "a", "site": "x", "blocks": "0:4", "ms_per_block": 2, "tokens_per_s": 0}]},
            "tokens_per_s",
        ),
        ({"servers": [{"name": "a", "site": "x", "blocks": "0:9", "ms_per_block": 2, "tokens_per_s": 1}]}, "0:4"),
        ({"block": 3}, "did you mean 'blocks'"),
    ],
)
def test_bad_swarms_name_the_key(changes: dict[str, object], part: str) -> None:
    """A mistake is one line with the place."""
    with pytest.raises(InputError, match=part):
        swarm_of(data(**changes))


def test_a_block_of_nobody_is_named() -> None:
    """Infeasible, with the block's number."""
    with pytest.raises(InfeasibleError, match="block 2 is held by nobody"):
        swarm_of(data(servers=[{"name": "a", "site": "x", "blocks": "0:2", "ms_per_block": 2, "tokens_per_s": 5}]))
