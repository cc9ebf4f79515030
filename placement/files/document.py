"""YAML and JSON as plain data, bounded before anything is built: size, depth, aliases, numbers, and no key twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError, shown
from .text import MAX_BYTES, read_text

MAX_DEPTH = 64  # of mappings and lists in each other
MAX_ALIASES = 100
MAX_VALUES = 500_000  # in a YAML document: some five seconds of reading
MAX_EXPANDED = 1_000_000  # values in a document once its aliases are written out
MAX_DIGITS = 32  # of a whole number: far above any count, far below what a float can hold
MOST_STEPS = 12  # of a key path that a message still tells
MAX_LINES_BYTES = 20_000_000  # of a file with a document a line

Form = Literal["json", "any"]


def read_document(
    path: Path | str, *, expect: Sequence[str] = (), largest: int = MAX_BYTES, form: Form = "any"
) -> dict[str, Any]:
    """Read a YAML or JSON file whose top level is a mapping.

    Parameters
    ----------
    path : Path or str
        ``.json`` files are read as JSON, all others as YAML, of which JSON is a part.
    expect : sequence of str
        Keys that such a file has, for the error when it is no mapping.
    largest : int
        Most bytes.
    form : "any" or "json"
        "json" refuses YAML whatever the file is called.

    Raises
    ------
    InputError
        One line that names the file.
    """
    where = str(path)
    text = read_text(path, largest)
    try:
        strict = form == "json" or where.lower().endswith(".json")
        data = load_json(text) if strict else load_yaml(text)
        if not isinstance(data, dict):
            keys = " with keys such as " + " and ".join(f"'{key}'" for key in expect[:3]) if expect else ""
            raise InputError(f"expected a mapping{keys}, got {'nothing' if data is None else shown(data)}")
    except InputError as error:
        raise error.under(where) from None
    return data


def read_json(path: Path | str) -> Any:
    """Read a JSON file of any shape; raise `InputError` with its name."""
    text = read_text(path)
    try:
        return load_json(text)
    except InputError as error:
        raise error.under(str(path)) from None


def read_lines(path: Path | str, largest: int = MAX_LINES_BYTES) -> Iterator[tuple[str, Any]]:
    """Yield the place (file and line) and the data of each JSON document in a file that has one a line."""
    for number, line in enumerate(read_text(path, largest).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            yield where, load_json(line)
        except InputError as error:
            raise error.under(where) from None


def load_json(text: str) -> Any:
    """Return the data of a JSON document; refuse keys that are given twice, and what is too deep."""
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise InputError(f"not valid JSON: expected a depth of at most {MAX_DEPTH}") from None
    except ValueError:  # whole numbers of thousands of digits
        raise InputError(
            f"not valid JSON: a whole number has more than {sys.get_int_max_str_digits()} digits"
        ) from None
    _check(data)
    return data


def load_yaml(text: str) -> Any:
    """Return the data of a YAML document; refuse duplicate keys, several documents, depth and alias bombs."""
    import yaml

    try:
        _count(text)
        data = yaml.load(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InputError(f"not valid YAML: {error.problem or error.context}{place}") from None
    except RecursionError:
        raise InputError(f"not valid YAML: expected a depth of at most {MAX_DEPTH}") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        # Impossible dates, keys that are lists, odd tags, characters that YAML has no place for, endless numbers.
        raise InputError(f"not valid YAML: {' '.join(str(error).partition(';')[0].split())[:120]}") from None
    _check(data, aliased="*" in text)
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InputError(f"the key {shown(name)} is given twice")
            seen.add(name)
    return data


@lru_cache(maxsize=1)
def _loader() -> Any:
    """Return the safe loader, the C one where it exists, which refuses duplicate keys instead of keeping the last."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                    continue
                if (key.tag, key.value) in seen:
                    line = key.start_mark.line + 1
                    raise InputError(f"the key {shown(key.value)} is given twice (line {line})")
                seen.add((key.tag, key.value))
            return super().construct_mapping(node, deep=deep)

    return Loader


def _count(text: str) -> None:
    """Refuse a YAML document that is too deep or too large, by its events: the C loader's stack has no guard."""
    import yaml

    depth = aliases = 0
    for values, event in enumerate(yaml.parse(text, Loader=_loader())):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise InputError(f"not valid YAML: expected a depth of at most {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if values > MAX_VALUES:
            raise InputError(f"expected at most {MAX_VALUES} values in a YAML file, got more; JSON may have more")
    if aliases > MAX_ALIASES:
        raise InputError(f"expected at most {MAX_ALIASES} YAML aliases, got {aliases}")


class _Bad(Exception):  # noqa: N818 (never leaves this module)
    """A value that no document may have; the keys that lead to it are collected on the way up."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.steps: list[str | int] = []


def _check(data: Any, *, aliased: bool = False) -> None:
    """Refuse what no reader wants to meet: depth, aliases that expand or loop, numbers beyond floats, broken text."""
    try:
        _leaf(data)
        if isinstance(data, dict | list):
            size, _ = _walk(data, 1, {}, set())
            if aliased and size > MAX_EXPANDED:
                raise _Bad(f"expected at most {MAX_EXPANDED} values, aliases written out")
    except _Bad as error:
        place = key_path(reversed(error.steps)) if len(error.steps) <= MOST_STEPS else ""
        raise InputError(error.message, place) from None


def _walk(data: Any, depth: int, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """Return the number of values in `data`, aliases written out, and its height."""
    if id(data) in above:
        raise _Bad("a YAML alias contains itself")
    if depth > MAX_DEPTH:
        raise _Bad(f"expected a depth of at most {MAX_DEPTH}")
    above.add(id(data))
    size, height = 1, 1
    for key, part in data.items() if isinstance(data, dict) else enumerate(data):
        try:
            _leaf(key)
            _leaf(part)
            if isinstance(part, dict | list):
                # An alias leads to data that was walked before; JSON never does.
                found = known.get(id(part)) or _walk(part, depth + 1, known, above)
                size, height = size + found[0], max(height, 1 + found[1])
            else:
                size += 1
        except _Bad as error:
            error.steps.append(key if isinstance(key, int) else shown(key)[1:-1] if isinstance(key, str) else str(key))
            raise
    if depth + height - 1 > MAX_DEPTH:
        raise _Bad(f"expected a depth of at most {MAX_DEPTH}")
    above.discard(id(data))
    known[id(data)] = (size, height)
    return known[id(data)]


def _leaf(value: Any) -> None:
    if type(value) is int:
        if not -(10**MAX_DIGITS) < value < 10**MAX_DIGITS:
            raise _Bad(f"expected a number of at most {MAX_DIGITS} digits, got {shown(value)}: not a sensible number")
    elif type(value) is str and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise _Bad(f"expected text, got {shown(value)}: half a character") from None


def key_path(parts: Any) -> str:
    """Return ``nodes[2].memory`` for ``("nodes", 2, "memory")``; tags of unions (in angle brackets) are left out."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith("<"):
            path += f".{part}" if path else part
    return path
