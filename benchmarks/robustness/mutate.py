"""Seeded mutations of documents (keys, types, numbers, structure) and of their text."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import numpy as np
import yaml

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NESTED: Any = []
for _ in range(80):
    NESTED = [NESTED]
LONG = "x" * 5000
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    7,
    63,
    0.5,
    -0.0,
    1e-300,
    1e-9,
    1e9,
    1e15,
    1e30,
    1e300,
    -1e300,
    2**31,
    2**53,
    2**63,
    2**64,
    10**20,
    10**60,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    " ",
    "a",
    "b",
    "0",
    "0:4",
    "9:1",
    "a:b",
    "nan",
    "inf",
    "1e400",
    "24 GBps",
    "-5 ms",
    "0 GiB",
    "1e300 GiB",
    "1e-300 s",
    "5 tokens/s",
    "∞",
    "²",
    "١٢",
    "null",
    "~",
    LONG,
    "\x1b]0;owned\x07\x1b[2J",
    "a\nb",
    "a\u2028b",
    "\ud800",
    "\x00",
    "../../etc/passwd",
    "/dev/zero",
    "$(touch x)",
    "<script>",
    "{{ 7 }}",
    "%s%n",
    "!!python/object:os.system",
    [],
    {},
    [[]],
    [None],
    [1, "a", {}],
    {"a": {}},
    {"": 1},
    {"a": 1, "b": [2]},
    [0] * 300,
    NESTED,
    "2026-01-01",
    "client",
    "embed",
    "tiny",
    "llama-3.1-8b",
)
WORDS = ("name", "nodes", "blocks", "a", "count", "", "placement", "\x1b[31m", "kind", "servers", "0", "model", LONG)
PIECES = (
    b"\x00",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\x1b[31m",
    b"\n",
    b"\t",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"- ",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!binary ",
    b"'",
    b'"',
    b"\\",
    b"1e999",
    b"-",
    b"9" * 5000,
    b"[" * 3000,
    b"# ",
    b"---\n",
    b"%",
    b"|",
    b"\xe2\x80\xa8",
    b",",
    b"=",
    b"(",
    b")*9",
    b"*",
    b"NaN",
    b"\xef\xbb\xbf",
    b"1_0",
    b"0x10",
    b"  ",
)


def mutated(document: Any, rng: np.random.Generator) -> bytes:
    """A document with one to four mistakes, as JSON or YAML; sometimes its text is broken too."""
    document = copy.deepcopy(document)
    change = numbered if rng.random() < 0.4 else changed
    if rng.random() < 0.9:
        for _ in range(int(rng.geometric(0.6))):
            document = change(document, rng)
    raw = written(document, rng)
    while rng.random() < 0.08:
        raw = broken(raw, rng)
    return raw


def broken_text(text: str, rng: np.random.Generator) -> bytes:
    """A text with one to five mistakes."""
    raw = text.encode("utf-8", "surrogatepass")
    for _ in range(int(rng.geometric(0.5))):
        raw = broken(raw, rng)
    return raw


def changed(document: Any, rng: np.random.Generator) -> Any:
    """A document with one change at a random place."""
    places = list(_places(document))
    if not places:
        return _value(rng)
    holder, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(9))
    if kind <= 3:
        holder[key] = _value(rng)
    elif kind == 4:
        del holder[key]
    elif kind == 5 and isinstance(holder, dict):
        holder[WORDS[int(rng.integers(len(WORDS)))]] = holder.pop(key)
    elif kind == 6 and isinstance(holder, list):
        holder.extend([copy.deepcopy(holder[key])] * int(rng.integers(1, 4)))
    elif kind == 7:
        other, there = places[int(rng.integers(len(places)))]
        if there in other if isinstance(other, dict) else there < len(other):
            holder[key] = copy.deepcopy(other[there])
    elif isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = _scaled(holder[key], rng)
    else:
        holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}
    return document


def numbered(document: Any, rng: np.random.Generator) -> Any:
    """A document with one other number, alone or before a unit: what gets past the door and on to the solvers."""
    places = [place for place in _places(document) if _NUMBER.match(str(place[0][place[1]]))]
    if not places:
        return changed(document, rng)
    holder, key = places[int(rng.integers(len(places)))]
    value = holder[key]
    if isinstance(value, str):
        number, rest = _NUMBER.match(value)[0], value[len(_NUMBER.match(value)[0]) :]  # type: ignore[index]
        scaled = _scaled(float(number), rng)
        holder[key] = f"{int(scaled) if '.' not in number and abs(scaled) < 1e15 else scaled}{rest}"
    elif not isinstance(value, bool):
        holder[key] = _scaled(value, rng)
    return document


def broken(raw: bytes, rng: np.random.Generator) -> bytes:
    """A text with a piece put in, taken away, doubled, or a byte changed."""
    at, kind = int(rng.integers(len(raw) + 1)), int(rng.integers(5))
    size = int(rng.integers(1, 40))
    if kind == 0:
        return raw[:at] + PIECES[int(rng.integers(len(PIECES)))] + raw[at:]
    if kind == 1:
        return raw[:at] + raw[at + size :]
    if kind == 2:
        return raw[:at] + raw[at : at + size] * int(rng.integers(2, 60)) + raw[at + size :]
    if kind == 3:
        return raw[:at] + bytes([int(rng.integers(256))]) + raw[at + 1 :]
    return raw[:at]


def written(document: Any, rng: np.random.Generator) -> bytes:
    """JSON, or YAML where it can be written."""
    if rng.random() < 0.5:
        try:
            return yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")
        except (yaml.YAMLError, ValueError, RecursionError):
            pass
    return json.dumps(document).encode("utf-8")


def _places(document: Any) -> Any:
    """Every (holder, key) of a document."""
    if isinstance(document, dict | list):
        keys = list(document) if isinstance(document, dict) else range(len(document))
        for key in keys:
            yield document, key
            yield from _places(document[key])


def _value(rng: np.random.Generator) -> Any:
    return copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])


def _scaled(value: float, rng: np.random.Generator) -> float:
    if isinstance(value, int) and rng.random() < 0.7:
        return value + int(rng.integers(-3, 4))
    widest = 4 if rng.random() < 0.6 else 40
    scaled = value * 10.0 ** int(rng.integers(-widest, widest))
    return int(scaled) if isinstance(value, int) and rng.random() < 0.7 else float(scaled)
