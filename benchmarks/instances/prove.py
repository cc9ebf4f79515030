"""Write ``best.json``: the best known cost and bound of every instance, and who found them.

``python -m benchmarks.instances.prove [--seconds 20] [--runs bench/runs.csv]`` improves what is there;
with ``--runs`` it takes the records of a benchmark in, too.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from placement.files import write_atomic

from ..quality.experiments import Experiment, Record, perform
from ..quality.store import read
from . import BEST, Known, known, load

PROVERS = ("exact", "milp", "auto", "tabu", "beam")


def improved(old: Known | None, record: Record) -> Known:
    """What is known after a run."""
    new = Known(record.cost, record.bound, record.solver, record.solver)
    if old is None:
        return new
    better, higher = record.cost < old.cost * (1 - 1e-12), record.bound > old.bound * (1 + 1e-12)
    return Known(
        new.cost if better else old.cost,
        new.bound if higher else old.bound,
        new.by if better else old.by,
        new.proven_by if higher else old.proven_by,
    )


def write(best: dict[str, Known]) -> None:
    """Write the file, sorted by name."""
    bounded = {name: item for name, item in sorted(best.items()) if np.isfinite(item.bound)}
    rows = {name: {**asdict(item), "proven": item.proven} for name, item in bounded.items()}
    write_atomic(BEST, json.dumps(rows, indent=1) + "\n")


def main() -> None:
    """Improve the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=Path, action="append", default=[])
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    best = known()
    for path in given.runs:
        for record in read(path):
            if record.status == "ok":
                best[record.instance] = improved(best.get(record.instance), record)
    write(best)
    for instance in load(names=tuple(filter(None, given.only.split(",")))) if given.seconds > 0 else []:
        for solver in PROVERS:
            item = best.get(instance.name)
            if item is None or not item.proven:
                record = perform(Experiment(instance.name, str(instance.path), solver, given.seconds, 0))
                if record.status == "ok":
                    best[instance.name] = improved(item, record)
        write(best)
        print(instance.name, best.get(instance.name), flush=True)


if __name__ == "__main__":
    main()
