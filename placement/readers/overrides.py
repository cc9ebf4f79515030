"""Overrides of a document: ``--set nodes[0].memory='16 GiB'`` puts a value where its key path leads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError, shortened, shown
from ..files import load_yaml
from ..files.document import key_path

MAX_STEPS = 64  # of a key path
_STEP = re.compile(r"(?:^|\.)([^.\[\]=]+)|\[(\d{1,5})\]")


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return `data` with ``key.path[0]=value`` applied, each value read as YAML.

    Keys that are missing on the way are made; a list must already have the element, or end just before it.
    """
    root: dict[str, Any] = dict(data)
    for override in overrides:
        path, equals, text = override.partition("=")
        where = f"--set {shortened(override)}"
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
            raise InputError(f"expected a key path such as nodes[0].memory, got {shown(path)}", where)
        steps.append(int(match[2]) if match[2] is not None else match[1].strip())
        position = match.end()
    if not steps or isinstance(steps[0], int) or len(steps) > MAX_STEPS:
        raise InputError(f"expected a key path such as nodes[0].memory, got {shown(path)}", where)
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
