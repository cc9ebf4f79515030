"""The shipped instances, those of other folders, and what is known of their optima."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from placement.errors import InputError
from placement.files import read_json

if TYPE_CHECKING:
    from placement.question.case import ReplicatedCase
    from placement.question.request import Request

HERE = Path(__file__).parent
BEST = HERE / "best.json"
SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Instance:
    """A question of the benchmark.

    Attributes
    ----------
    name : str
        Name of the file without its suffix.
    path : Path
    """

    name: str
    path: Path

    @property
    def family(self) -> str:
        """The name without its last part, the size or number of nodes; "classic" for all cases of that kind."""
        return "classic" if self.name.startswith("classic-") else self.name.rpartition("-")[0] or self.name

    @cached_property
    def request(self) -> Request | ReplicatedCase:
        """What the file asks: a request, or the tables of a case in Helix's format."""
        from placement.readers.cluster.read import read_request

        if self.path.suffix == ".json" and is_helix(self.path):
            from placement.readers.helix import load_helix

            return load_helix(self.path)
        return read_request(self.path)


@dataclass(frozen=True)
class Known:
    """What is known of an instance.

    Attributes
    ----------
    cost : float
        Least cost (minimised; seconds per token for throughput) of a feasible placement.
    bound : float
        Largest proven lower bound on the cost.
    by : str
        Who found the cost.
    proven_by : str
        Who proved the bound.
    """

    cost: float
    bound: float
    by: str
    proven_by: str

    @property
    def proven(self) -> bool:
        """True when cost and bound meet."""
        return self.cost <= self.bound * (1 + 1e-6)


def is_helix(path: Path) -> bool:
    """Tell a Helix case from a cluster file in JSON."""
    data = read_json(path)
    return isinstance(data, dict) and "node_types" in data


def load(folder: Path = HERE, names: tuple[str, ...] = ()) -> list[Instance]:
    """Instances of a folder, sorted by name; with `names`, those that are named or whose family is.

    Raises
    ------
    InputError
        The folder holds no instance, or none of that name.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and path != BEST)
    found = [Instance(path.stem, path) for path in files]
    if not found:
        raise InputError(f"no cluster files (*.yaml, *.json) in {folder}", "--instances")
    for name in names:
        if not any(name in (instance.name, instance.family) for instance in found):
            raise InputError(f"no instance or family '{name}' in {folder}")
    return [item for item in found if not names or item.name in names or item.family in names]


def known(path: Path = BEST) -> dict[str, Known]:
    """What is known by instance, from a file like ``best.json``; empty when there is none."""
    if not path.exists():
        return {}
    data: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {name: Known(item["cost"], item["bound"], item["by"], item["proven_by"]) for name, item in data.items()}
