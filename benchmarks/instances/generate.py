"""Write the cluster files of this folder: ``python -m benchmarks.instances.generate``.

Every file has a generator of its own, seeded by its name, so one family can change without the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .classics import CLASSICS
from .families import FAMILIES
from .swarms import replicas, swarm

HERE = Path(__file__).parent
SEED = 20260904
SIZES = ("small", "medium", "large")


def generator(name: str) -> np.random.Generator:
    """The generator of one file."""
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def documents() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, purpose and content of every file."""
    for family, make in FAMILIES.items():
        for size in SIZES:
            name = f"{family}-{size}"
            yield name, make.__doc__ or "", make(generator(name), size)
    for name, classic in CLASSICS.items():
        yield f"classic-{name}", classic.__doc__ or "", classic(generator(name))
    for size in SIZES:
        name = f"replicas-{size}"
        yield name, replicas.__doc__ or "", replicas(generator(name), size)
    for count in (10, 40, 120, 1000):
        yield f"swarm-{count}", swarm.__doc__ or "", swarm(generator(f"swarm-{count}"), count)


def text(purpose: str, document: dict[str, Any]) -> str:
    """The file: a comment that says what it is for, then YAML."""
    order = (
        "model",
        "quantization",
        "dtype",
        "placement",
        "workload",
        "objective",
        "limits",
        "client",
        "contiguous",
        "min_replicas",
        "max_nodes",
        "max_stages",
        "nodes",
        "network",
    )
    ordered = {key: document[key] for key in order if key in document}
    if set(ordered) != set(document):
        raise ValueError(f"Expected keys of {order}, got {sorted(set(document) - set(order))}.")
    body = yaml.safe_dump(ordered, sort_keys=False, default_flow_style=None, width=118, allow_unicode=True)
    return f"# {purpose.strip().splitlines()[0]}\n{body}"


def main() -> None:
    """Write all files."""
    for name, purpose, document in documents():
        (HERE / f"{name}.yaml").write_text(text(purpose, document), encoding="utf-8")


if __name__ == "__main__":
    main()
