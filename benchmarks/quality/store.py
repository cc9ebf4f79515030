"""Records in a CSV file that grows line by line, so that an interrupted benchmark goes on where it stopped."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from placement.errors import InputError

from .experiments import Experiment, Record

COLUMNS = [item.name for item in fields(Record)]


def read(path: Path) -> list[Record]:
    """All whole records of a file; a line that an interruption cut short is left out.

    Raises
    ------
    InputError
        The file has other columns, or a value that is none of its column.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    try:
        reader = csv.DictReader(io.StringIO(data[: whole_bytes(data)].decode("utf-8"), newline=""))
        if list(reader.fieldnames or COLUMNS) != COLUMNS:
            raise InputError("not a file of runs of this version: it has other columns", str(path))
        return [Record.of(row) for row in reader if None not in row.values() and None not in row]
    except (ValueError, csv.Error) as error:
        raise InputError(f"not a file of runs ({error})", str(path)) from None


def missing(wanted: Iterable[Experiment], records: Iterable[Record]) -> list[Experiment]:
    """Experiments that no record answers yet."""
    done = {record.key for record in records}
    return [experiment for experiment in wanted if experiment.key not in done]


def whole_bytes(data: bytes) -> int:
    """How many bytes of a file are whole lines of CSV: up to the last end of line outside of quotes."""
    whole = at = quotes = 0
    for line in data.splitlines(keepends=True):
        at += len(line)
        quotes += line.count(b'"')
        if line.endswith(b"\n") and quotes % 2 == 0:
            whole = at
    return whole


class Writer:
    """Appends records; what is in the file is never written again, and every line is out when `add` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        whole = whole_bytes(data)
        if whole < len(data):
            os.truncate(path, whole)  # the line that an interruption cut short
        self.file = path.open("a", encoding="utf-8", newline="")
        self.csv = csv.DictWriter(self.file, COLUMNS)
        if whole == 0:
            self.csv.writeheader()
            self.file.flush()

    def add(self, record: Record) -> None:
        """Append one record."""
        self.csv.writerow(record.row())
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
