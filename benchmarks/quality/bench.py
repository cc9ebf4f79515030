"""The benchmark from end to end: experiments, a pool, a CSV file, tables and a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from placement.errors import InputError
from placement.solvers import SOLVERS

from ..instances import HERE, Instance, known, load
from . import report, store
from .experiments import Record, experiments
from .makers import check
from .pool import perform_all

# Of every family the small one or the medium one, and solvers that say most in little time.
QUICK_INSTANCES = (
    "home-lab-small", "office-lan-small", "geo-small", "tight-memory-medium", "experts-small", "kv-heads-small",
    "cuts-and-ties-medium", "several-runs-medium",
)  # fmt: skip
QUICK_SOLVERS = ("auto", "exact", "annealing", "genetic", "uniform", "balanced")


@dataclass(frozen=True, slots=True)
class Options:
    """What to run.

    Attributes
    ----------
    instances : Path
        Folder of cluster files.
    names : tuple of str
        Instances or families of it; empty for all.
    solvers : tuple of str
    seeds, workers : int
    seconds : float
        Of search, for each run.
    out : Path
        Folder for ``runs.csv`` and what is made of it.
    """

    instances: Path = HERE
    names: tuple[str, ...] = ()
    solvers: tuple[str, ...] = tuple(name for name, entry in SOLVERS.items() if "pipeline" in entry.kinds)
    seeds: int = 10
    seconds: float = 10.0
    out: Path = Path("bench")
    workers: int = 0

    @classmethod
    def quick(cls, **more: object) -> Options:
        """Two minutes on two cores: 8 instances, 6 solvers, 2 seeds, 1.5 s each."""
        shipped = more.get("instances", HERE) == HERE
        base = {"names": QUICK_INSTANCES if shipped else (), "solvers": QUICK_SOLVERS, "seeds": 2, "seconds": 1.5}
        return cls(**{**base, **more})  # type: ignore[arg-type]


def chosen(options: Options) -> list[Instance]:
    """The instances, read once so that a mistake in a file is told before hours of work."""
    found = load(options.instances, options.names)
    for instance in found:
        _ = instance.request
    return found


def bench(options: Options, show: Callable[[int, int, Record], None] = lambda *_: None) -> list[Path]:
    """Run what is missing, then write tables and page; return the files."""
    check(list(options.solvers))
    if options.seeds < 1 or not options.seconds > 0:
        raise InputError(f"expected at least one seed and some seconds, got {options.seeds} and {options.seconds}")
    instances = chosen(options)
    wanted = list(experiments(instances, options.solvers, options.seconds, options.seeds))
    path = options.out / "runs.csv"
    writer = store.Writer(path)
    try:
        todo = store.missing(wanted, store.read(path))
        perform_all(todo, options.workers or os.cpu_count() or 1, writer.add, show)
    finally:
        writer.close()
    keys = {experiment.key for experiment in wanted}
    records = [record for record in store.read(path) if record.key in keys]
    return report.write(records, known() if options.instances == HERE else {}, options.solvers, options.out)


def names_of(text: str | None, default: Sequence[str]) -> tuple[str, ...]:
    """Comma-separated names."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else tuple(default)
