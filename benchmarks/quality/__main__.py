"""``python -m benchmarks.quality``: what ``placement bench`` runs, without the packages of the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from placement.errors import PlacementError

from ..instances import HERE
from .bench import Options, bench, names_of, report_only
from .experiments import Record


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--instances", type=Path, default=HERE, metavar="DIR")
    made.add_argument("--names", help="instances or families, comma-separated")
    made.add_argument("--solvers", help="solvers and rivals, comma-separated; 'all', 'solvers', 'rivals'")
    made.add_argument("--seeds", type=int)
    made.add_argument("--seconds", type=float, help="of search, for each run")
    made.add_argument("--minutes", type=float, help="after which no run is begun")
    made.add_argument("--out", type=Path, default=Path("bench"), metavar="DIR")
    made.add_argument("--workers", type=int, default=0, help="processes of one thread; 0: one for each core")
    made.add_argument("--quick", action="store_true")
    made.add_argument("--report-only", type=Path, nargs="+", metavar="FILE", help="runs.csv of any machine: no runs")
    return made


def main() -> None:
    """Parse, run, say what was written."""
    given = parser().parse_args()

    def show(done: int, total: int, record: Record) -> None:
        print(
            f"{done}/{total} {record.instance} {record.solver} {record.seed}: {record.status} {record.note}", flush=True
        )

    try:
        if given.report_only:
            files = report_only(given.report_only, given.out, seconds=given.seconds, shipped=given.instances == HERE)
        else:
            more: dict[str, object] = {"instances": given.instances, "out": given.out, "workers": given.workers}
            more |= {key: names_of(value, ()) for key in ("names", "solvers") if (value := getattr(given, key))}
            numbers = ("seeds", "seconds", "minutes")
            more |= {key: value for key in numbers if (value := getattr(given, key)) is not None}
            options = Options.quick(**more) if given.quick else Options(**more)  # type: ignore[arg-type]
            files = bench(options, show, lambda text: print(text, file=sys.stderr, flush=True))
    except PlacementError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted; what is done is in {given.out / 'runs.csv'}, the same command goes on from there")
    for path in files:
        print(path)


if __name__ == "__main__":
    main()
