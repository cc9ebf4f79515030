"""The shipped instances: the script writes them, they can be read, and what is said to be known of them holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.instances import HERE, known, load
from benchmarks.instances.classics import CLASSICS
from benchmarks.instances.families import FAMILIES
from benchmarks.instances.generate import generator, text
from benchmarks.rivals.deepspeed import best_bottleneck, bottleneck, partition_balanced
from placement.errors import InputError

SAMPLE = [(name, size) for name, size in zip(FAMILIES, ["small", "medium", "large"] * 5, strict=False)]


def test_there_are_at_least_forty() -> None:
    names = [instance.name for instance in load()]
    assert len(names) >= 40
    assert {f"{family}-{size}" for family in FAMILIES for size in ("small", "medium", "large")} <= set(names)


@pytest.mark.parametrize(("family", "size"), SAMPLE)
def test_the_script_writes_what_is_committed(family: str, size: str) -> None:
    name, make = f"{family}-{size}", FAMILIES[family]
    written = text(make.__doc__ or "", make(generator(name), size))
    assert written == (HERE / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CLASSICS)
def test_classics_are_what_is_committed(name: str) -> None:
    make = CLASSICS[name]
    document = make(generator(name))
    assert text(make.__doc__ or "", document) == (HERE / f"classic-{name}.yaml").read_text(encoding="utf-8")


def test_every_instance_can_be_read() -> None:
    for instance in load():
        replicated = instance.family in ("swarm", "replicas")
        kind = getattr(instance.request, "kind", "replicated")
        assert kind == ("replicated" if replicated else "pipeline")


def test_what_is_known() -> None:
    """Bounds are below costs, and the shipped names are known."""
    best, names = known(), {instance.name for instance in load()}
    assert set(best) <= names
    for item in best.values():
        assert np.isfinite(item.cost)
        assert item.bound <= item.cost * (1 + 1e-6)


def test_a_folder_of_others(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cluster files"):
        load(tmp_path)
    (tmp_path / "mine.yaml").write_text((HERE / "home-lab-small.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert [instance.name for instance in load(tmp_path)] == ["mine"]
    with pytest.raises(InputError, match="no instance or family 'yours'"):
        load(tmp_path, ("yours",))


def test_the_balanced_partition_misses_the_best_bottleneck() -> None:
    """The rival, written anew, is never better than the optimum, and here it is worse."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        weights, parts = rng.integers(1, 16, int(rng.integers(6, 12))).tolist(), int(rng.integers(2, 5))
        bounds = partition_balanced(weights, parts)
        assert (bounds[0], bounds[-1]) == (0, len(weights))
        assert sorted(bounds) == bounds
        assert bottleneck(weights, bounds) >= best_bottleneck(weights, parts)
    weights = [10, 6, 2, 11, 6, 13, 6, 10, 3]
    assert bottleneck(weights, partition_balanced(weights, 5)) == 19
    assert best_bottleneck(weights, 5) == 18
