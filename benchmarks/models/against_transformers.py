"""Holds the reader of configurations against every type of causal language model of the installed `transformers`.

    python -m benchmarks.models.against_transformers [TYPE...] [--out table.md]

Each type is built on the meta device with the sizes of its configuration class, and read from that alone.
Parameters are compared with those of the module, the cache with the one that the module makes itself. A type whose
class cannot be built or run with these sizes, by itself, is named as such.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.metadata import version
from pathlib import Path

from .compare import Comparison, compared

PARAMS_WITHIN, CACHE_WITHIN = 0.005, 0.01


def main() -> None:
    """Compare all types, or those named, and print a table."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*", help="types to compare; by default all")
    parser.add_argument("--out", type=Path, help="write the table here too")
    options = parser.parse_args()
    rows = []
    for kind in options.types or sorted(CLASSES):
        name = CLASSES[kind]
        begun = time.perf_counter()
        row = compared(kind, name if isinstance(name, str) else name[0])
        rows.append(row)
        print(f"{_row(row)} {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
    text = "\n".join((*_table(rows), "", *_summary(rows)))
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


def _table(rows: list[Comparison]) -> list[str]:
    head = ["| type | parameters | read | cache at 64 | read | cache at 9,000 | read | |", "| --- " * 8 + "|"]
    return [*head, *(_row(row) for row in rows)]


def _row(row: Comparison) -> str:
    short, long = row.cache or (0.0, 0.0)
    read_short, read_long = row.read_cache or (0.0, 0.0)
    sizes = (
        f"{row.params / 1e9:.3f} B | {row.read_params / 1e9:.3f} B | {short / 1e6:.3f} MB | {read_short / 1e6:.3f} MB"
    )
    return f"| {row.kind} | {sizes} | {long / 1e6:.3f} MB | {read_long / 1e6:.3f} MB | {_verdict(row)} |"


def _verdict(row: Comparison) -> str:
    if row.refused:
        return f"refused: {row.refused}" + (f"; by itself: {row.broken}" if row.broken else "")
    found = []
    if row.params_error > PARAMS_WITHIN:
        found.append(f"parameters {row.params_error:+.1%}")
    if row.cache and row.cache_error > CACHE_WITHIN:
        found.append(f"cache {row.cache_error:.1%}")
    if row.broken:
        found.append(f"by itself: {row.broken}")
    return ", ".join(found)


def _summary(rows: list[Comparison]) -> list[str]:
    able = [row for row in rows if row.params]
    read = [row for row in able if not row.refused]
    right = [row for row in read if row.params_error <= PARAMS_WITHIN]
    known = [row for row in able if row.cache or (row.refused and not row.broken)]
    cached = [row for row in known if row.cache and row.cache_error <= CACHE_WITHIN]
    return [
        f"transformers {version('transformers')}: {len(rows)} types, {len(rows) - len(able)} of which it cannot build.",
        f"Parameters within 0.5%: {len(right)} of {len(able)} ({len(right) / max(1, len(able)):.1%}); "
        f"{len(able) - len(read)} refused by name; {len(read) - len(right)} wrong.",
        f"Cache within 1% at both lengths: {len(cached)} of {len(known)} that run by themselves "
        f"({len(cached) / max(1, len(known)):.1%}).",
    ]


if __name__ == "__main__":
    main()
