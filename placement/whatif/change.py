"""A changed question in words, and what changes of every kind of file share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..quantities import whole_number

Document = Mapping[str, Any]
MOST_LINKS = 6  # lines of the network that are changed
FACTOR = 10.0
MOST_ADDED = 10_000


@dataclass(frozen=True, slots=True)
class Change:
    """Another question: what is changed in words, and the document; `same_model` where the model is as it was."""

    what: str
    document: dict[str, Any]
    same_model: bool = True


def counted(item: str, what: str) -> tuple[str, int]:
    """A name and how many, of ``NAME`` or ``NAME*COUNT``."""
    name, star, count = item.partition("*")
    number = whole_number(count) if star else 1
    if number is None or not 1 <= number <= MOST_ADDED:
        raise InputError(f"expected {what} or {what}*COUNT, got '{item[:60]}'", "--add")
    return name, number


def put(data: Document, path: Sequence[str | int], value: Any) -> dict[str, Any]:
    """A copy of the document with a value at a place that is there."""
    found: Any = _put(data, list(path), value)
    return dict(found)


def _put(data: Any, path: list[str | int], value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return [_put(item, rest, value) if k == step else item for k, item in enumerate(data)]
    return {**data, step: _put(data.get(step), rest, value)}
