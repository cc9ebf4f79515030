"""Records in a CSV file that grows line by line, so that an interrupted benchmark goes on where it stopped."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from .experiments import Experiment, Record

COLUMNS = [item.name for item in fields(Record)]


def read(path: Path) -> list[Record]:
    """All whole records of a file; a line that an interruption cut short is left out."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values() and None not in row]
    return [Record.of(row) for row in rows]  # type: ignore[arg-type]


def missing(wanted: Iterable[Experiment], records: Iterable[Record]) -> list[Experiment]:
    """Experiments that no record answers yet."""
    done = {record.key for record in records}
    return [experiment for experiment in wanted if experiment.key not in done]


class Writer:
    """Appends records; every line is on disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = read(path)
        self.file = path.open("w", encoding="utf-8", newline="")
        self.csv = csv.DictWriter(self.file, COLUMNS)
        self.csv.writeheader()
        for record in whole:
            self.csv.writerow(record.row())
        self.file.flush()

    def add(self, record: Record) -> None:
        """Append one record."""
        self.csv.writerow(record.row())
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
