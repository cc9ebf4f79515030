"""Numbers for people: sizes, times and rates with three digits and a fitting prefix."""

from __future__ import annotations

import math

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
BINARY = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def whole_number(text: str, digits: int = 18) -> int | None:
    """The number that a text of at most `digits` ASCII digits is; None for signs, spaces and anything else.

    `int` refuses what `str.isdigit` calls a digit (superscripts), and numbers of thousands of digits.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def size(n_bytes: float) -> str:
    """Bytes as '12.3 GiB'."""
    for unit, name in BINARY:
        if abs(n_bytes) >= unit:
            return f"{n_bytes / unit:.3g} {name}" if abs(n_bytes) < 1000 * unit else f"{n_bytes / unit:.0f} {name}"
    return f"{n_bytes:.0f} B"


def seconds(value: float) -> str:
    """Seconds as '12.3 ms'."""
    return scaled(value, "s") if value < 1000 else f"{value:.0f} s"


def scaled(value: float, unit: str) -> str:
    """A number with a prefix: 0.0123 and 's' give '12.3 ms'."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    for factor, prefix in PREFIXES:
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def quantity(value: float, unit: str) -> str:
    """A value in one of the units that a `TermSet` states: seconds and bytes with a prefix, others as '68.2 tokens/s'.

    Time per token reads as a time. A probability, and what has no unit, is the number alone.
    """
    if unit in ("s", "s/token"):
        return seconds(value)
    if unit == "B":
        return size(value)
    digits = f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"
    return digits if unit in ("", "probability") else f"{digits} {unit}"


def between(low: float, high: float, unit: str) -> str:
    """Two values of one unit as '48.3 to 70.6 ms', or as '418 ms to 1.22 s' where their prefixes differ."""
    first, last = quantity(low, unit), quantity(high, unit)
    value, _, name = first.partition(" ")
    return f"{value} to {last}" if name and last.endswith(f" {name}") else f"{first} to {last}"


def percent(share: float) -> str:
    """A share as '2.1%'; small ones keep a digit that is not zero."""
    value = 100 * share
    return f"{value:.0f}%" if abs(value) >= 10 else f"{value:.2g}%"


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of `width` characters, filled by `share`; what is above zero shows at least one mark."""
    full, empty = ("#", ".") if ascii_only else ("█", "░")
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 1.0
    marks = round(share * width)
    marks = max(marks, 1) if share > 0 else 0
    return full * marks + empty * (width - marks)
