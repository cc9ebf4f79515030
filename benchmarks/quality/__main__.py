"""``python -m benchmarks.quality``: what ``placement bench`` runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..instances import HERE
from .bench import Options, bench, names_of
from .experiments import Record


def main() -> None:
    """Parse, run, say what was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=Path, default=HERE)
    parser.add_argument("--names", help="instances or families, comma-separated")
    parser.add_argument("--solvers")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    more: dict[str, object] = {"instances": given.instances, "out": given.out, "workers": given.workers}
    more |= {key: names_of(value, ()) for key in ("names", "solvers") if (value := getattr(given, key))}
    more |= {key: value for key in ("seeds", "seconds") if (value := getattr(given, key)) is not None}
    options = Options.quick(**more) if given.quick else Options(**more)  # type: ignore[arg-type]

    def show(done: int, total: int, record: Record) -> None:
        print(
            f"{done}/{total} {record.instance} {record.solver} {record.seed}: {record.status} {record.note}", flush=True
        )

    for path in bench(options, show):
        print(path)


if __name__ == "__main__":
    main()
