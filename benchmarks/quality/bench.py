"""The benchmark from end to end: experiments, a pool, a CSV file, tables and a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from placement.errors import InputError
from placement.registry import SOLVERS

from ..instances import HERE, Instance, known, load
from ..rivals import RIVALS
from . import report, store
from .experiments import Record, experiments
from .makers import expand
from .pool import cores, perform_all

# Of every family the small one or the medium one, and solvers that say most in little time.
QUICK_INSTANCES = (
    "home-lab-small",
    "office-lan-small",
    "geo-small",
    "tight-memory-medium",
    "experts-small",
    "kv-heads-small",
    "cuts-and-ties-medium",
    "several-runs-medium",
)
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
        Solvers, rivals, or groups of them ("all", "solvers", "rivals").
    seeds : int
    workers : int
        Processes, each with one core and one thread; 0 is one for each core.
    seconds : float
        Of search, for each run.
    out : Path
        Folder for ``runs.csv`` and what is made of it.
    minutes : float
        After which no run is begun; the same call goes on from there.
    """

    instances: Path = HERE
    names: tuple[str, ...] = ()
    solvers: tuple[str, ...] = tuple(name for name, entry in SOLVERS.items() if "pipeline" in entry.kinds)
    seeds: int = 10
    seconds: float = 10.0
    out: Path = Path("bench")
    workers: int = 0
    minutes: float = np.inf

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


def bench(
    options: Options,
    show: Callable[[int, int, Record], None] = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Run what is missing, then write tables and page; return the files."""
    solvers, left_out = expand(options.solvers)
    if left_out:
        note(f"left out, as their packages are missing: {', '.join(left_out)}")
    if options.seeds < 1 or not options.seconds > 0:
        raise InputError(f"expected at least one seed and some seconds, got {options.seeds} and {options.seconds}")
    wanted = list(experiments(chosen(options), solvers, options.seconds, options.seeds))
    path = options.out / "runs.csv"
    todo = store.missing(wanted, store.read(path))
    writer = store.Writer(path)
    try:
        whole = perform_all(todo, options.workers or cores(), writer.add, show, options.minutes)
    finally:
        writer.close()
    if not whole:
        note(f"the time is over before all runs are done; the same command goes on from {path}")
    keys = {experiment.key for experiment in wanted}
    records = [record for record in store.read(path) if record.key in keys]
    if not records:
        raise InputError("no run was done in that time", "--minutes")
    return report.write(records, known() if options.instances == HERE else {}, solvers, options.out)


def report_only(files: Sequence[Path], out: Path, *, seconds: float | None = None, shipped: bool = True) -> list[Path]:
    """Write tables and page from the records of files, wherever they were made; return what was written.

    Parameters
    ----------
    seconds : float, optional
        Take runs of this length only.
    shipped : bool
        The runs are of the shipped instances, of which best costs and bounds are known.
    """
    found = {record.key: record for path in files for record in records_of(path)}
    records = [record for record in found.values() if seconds is None or record.seconds == seconds]
    lengths = sorted({record.seconds for record in records})
    if not lengths:
        raise InputError("no runs" if seconds is None else f"no runs of {seconds:g} s", ", ".join(map(str, files)))
    if len(lengths) > 1:
        text = " and ".join(f"{length:g}" for length in lengths)
        raise InputError(f"runs of {text} s cannot be compared: choose one by --seconds", ", ".join(map(str, files)))
    ran = {record.solver for record in records}
    order = [name for name in (*SOLVERS, *RIVALS) if name in ran]
    return report.write(records, known() if shipped else {}, [*order, *sorted(ran - set(order))], out)


def records_of(path: Path) -> list[Record]:
    """Records of a file; `InputError` when it has none of ours."""
    if not path.is_file():
        raise InputError("no such file", str(path))
    return store.read(path)


def names_of(text: str | None, default: Sequence[str]) -> tuple[str, ...]:
    """Comma-separated names."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else tuple(default)
