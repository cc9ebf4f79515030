"""A YAML or JSON file as plain data: size, aliases, duplicate keys and overrides are dealt with here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from . import units
from .schema.fields import key_path

MAX_BYTES = 10_000_000
MAX_ALIASES = 100
MAX_EXPANDED = 1_000_000  # values in a document once its aliases are written out
_CLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_CLoader):  # type: ignore[misc]
    """The safe loader, which refuses duplicate keys instead of keeping the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                line = key.start_mark.line + 1
                raise InputError(f"the key '{key.value}' is given twice (line {line})")
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep=deep)


def read_document(path: Path | str) -> dict[str, Any]:
    """Read a YAML or JSON file whose top level is a mapping.

    Parameters
    ----------
    path : Path or str
        At most 10 MB; ``.json`` files are read as JSON, all others as YAML.

    Raises
    ------
    InputError
        One line that names the file.
    """
    where = str(path)
    try:
        text = _read_text(Path(path))
        data = _load_json(text) if where.endswith(".json") else load_yaml(text)
        if not isinstance(data, dict):
            found = "nothing" if data is None else units.shown(data)
            raise InputError(f"expected a mapping with keys such as 'model' and 'nodes', got {found}")
    except InputError as error:
        raise error.under(where) from None
    return data


def load_yaml(text: str) -> Any:
    """Return the data of a YAML document; refuse duplicate keys, several documents and alias bombs."""
    try:
        if "*" in text:  # aliases are rare: only documents that may have some pay for a second pass
            _check_aliases(text)
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise InputError(f"not valid YAML: {problem}{place}") from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {' '.join(str(error).split())[:120]}") from None
    except RecursionError:
        raise InputError("not valid YAML: nested too deeply") from None
    except (ValueError, TypeError, AttributeError) as error:  # impossible dates, keys that are lists, odd tags
        raise InputError(f"not valid YAML: {' '.join(str(error).split())[:120]}") from None
    if "*" in text:
        _expanded(data, {}, ())
    return data


def _check_aliases(text: str) -> None:
    aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_CLoader))
    if aliases > MAX_ALIASES:
        raise InputError(f"expected at most {MAX_ALIASES} YAML aliases, got {aliases}")


def _expanded(data: Any, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Return the number of values in `data`, aliases written out; refuse too many, and loops."""
    if not isinstance(data, (dict, list)):
        return 1
    if id(data) in above:
        raise InputError("a YAML alias contains itself")
    if id(data) not in known:
        parts = data.values() if isinstance(data, dict) else data
        known[id(data)] = 1 + sum(_expanded(part, known, (*above, id(data))) for part in parts)
    if known[id(data)] > MAX_EXPANDED:
        raise InputError(f"expected at most {MAX_EXPANDED} values, aliases written out")
    return known[id(data)]


def _read_text(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise InputError(f"expected at most {MAX_BYTES // 1_000_000} MB, got {path.stat().st_size / 1e6:.1f} MB")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)  # pipes have no size to ask for
    except FileNotFoundError:
        raise InputError("there is no such file") from None
    except IsADirectoryError:
        raise InputError("expected a file, got a folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"expected at most {MAX_BYTES // 1_000_000} MB, got more")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"expected text in UTF-8, got the byte 0x{raw[error.start]:02x} at {error.start}") from None


def _load_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) < len(pairs):
            names = [name for name, _ in pairs]
            raise InputError(f"the key '{next(name for name in names if names.count(name) > 1)}' is given twice")
        return data

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except (RecursionError, ValueError):
        raise InputError("not valid JSON: nested too deeply, or a number too long") from None


_STEP = re.compile(r"(?:^|\.)([^.\[\]=]+)|\[(\d{1,5})\]")


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return `data` with ``key.path[0]=value`` applied, each value read as YAML.

    Keys that are missing on the way are made; a list must already have the element, or end just before it.
    """
    root: dict[str, Any] = dict(data)
    for override in overrides:
        path, equals, text = override.partition("=")
        where = f"--set {override}"
        if not equals:
            raise InputError("expected key=value, such as workload.concurrency=4", where)
        steps = _steps(path.strip(), where)
        try:
            value = load_yaml(text)
        except InputError as error:
            raise error.under(where) from None
        root = _set(root, steps, value, (), where)
    return root


def _steps(path: str, where: str) -> list[str | int]:
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise InputError(f"expected a key path such as nodes[0].memory, got {units.shown(path)}", where)
        steps.append(int(match[2]) if match[2] is not None else match[1].strip())
        position = match.end()
    if not steps or isinstance(steps[0], int):
        raise InputError(f"expected a key path such as nodes[0].memory, got {units.shown(path)}", where)
    return steps


def _set(data: Any, steps: Sequence[str | int], value: Any, done: tuple[str | int, ...], where: str) -> Any:
    """Return a copy of `data` with the value at `steps` set; what the user passed in is left as it was."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    here = key_path(done) or "the file"
    if isinstance(step, int):
        if data is None:
            data = []
        if not isinstance(data, list):
            raise InputError(f"{here} is not a list", where)
        if step > len(data):
            raise InputError(f"{here} has {len(data)} elements, so there is no [{step}]", where)
        copy = [*data, None] if step == len(data) else list(data)
        copy[step] = _set(copy[step], rest, value, (*done, step), where)
        return copy
    if data is not None and not isinstance(data, Mapping):
        raise InputError(f"{here} is not a mapping", where)
    return {**(data or {}), step: _set((data or {}).get(step), rest, value, (*done, step), where)}
