"""Checked access to the keys of a model's config.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from placement.errors import InputError
from placement.errors import shown as shown

LARGEST = 10**9
"""No size in a config.json is larger: a bigger number is a mistake, and would overflow what is computed from it."""

MOST_LAYERS = 1000
"""Most layers of a model: with `transformers`, each of them is built as a module."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The keys of a configuration, each read with a check that names it.

    Attributes
    ----------
    values : mapping of str to object
        The keys and values as they were found.
    where : str
        What errors call the file.
    seen : set of str
        The keys that were asked for: what is not among them was not understood.
    """

    values: Mapping[str, Any]
    where: str = "config.json"
    seen: set[str] = field(default_factory=set, compare=False)

    def __contains__(self, key: str) -> bool:
        self.seen.add(key)
        return self.values.get(key) is not None

    def asked(self, key: str) -> Any:
        """Return the value of a key, or None."""
        self.seen.add(key)
        return self.values.get(key)

    def find(self, *keys: str) -> str | None:
        """Return the first of `keys` that has a value."""
        return next((key for key in keys if key in self), None)

    def count(self, *keys: str, default: int | None = None, zero: bool = False) -> int:
        """Return a positive whole number (or zero, where `zero` allows it) under the first of `keys` present."""
        key = self.find(*keys)
        if key is None:
            if default is None:
                raise self.missing(*keys)
            return default
        return self.checked_count(self.values[key], key, zero=zero)

    def checked_count(self, value: object, key: str, *, zero: bool = False) -> int:
        """Return `value` when it is a whole number in range; `key` names it in the error."""
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            value = int(value)
        lowest = 0 if zero else 1
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= LARGEST:
            kind = "a whole number of at least 0" if zero else "a positive whole number"
            too_big = isinstance(value, int) and not isinstance(value, bool) and value > LARGEST
            raise self.error(key, f"expected {kind}{f' up to {LARGEST}' if too_big else ''}, got {shown(value)}")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a positive finite number."""
        value = self.asked(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self.error(key, f"expected a positive number, got {shown(value)}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self.asked(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, f"expected true or false, got {shown(value)}")
        return value

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        value = self.asked(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(key, f"expected a text, got {shown(value)}")
        return value

    def items(self, key: str, length: int | None = None) -> Sequence[Any]:
        """Return a list, of `length` entries when one is given; an absent key is an empty list."""
        value = self.asked(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise self.error(key, f"expected a list, got {shown(value)}")
        if length is not None and len(value) != length:
            raise self.error(key, f"expected {length} entries, one per layer, got {len(value)}")
        return value

    def per_layer(self, layers: int, *keys: str, default: int | None = None) -> list[int]:
        """Return one number per layer; a list may hold null for a layer that has none (0)."""
        key = self.find(*keys)
        if key is not None and isinstance(self.values[key], list | tuple):
            entries = self.items(key, layers)
            return [
                0 if entry is None else self.checked_count(entry, f"{key}[{at}]", zero=True)
                for at, entry in enumerate(entries)
            ]
        return [self.count(*keys, default=default)] * layers

    def missing(self, *keys: str) -> InputError:
        """Return the error for a key that must be there."""
        return self.error(keys[0], "the key is missing" + (f" (or {', '.join(keys[1:])})" if keys[1:] else ""))

    def error(self, key: str, message: str) -> InputError:
        """Return an error about `key`."""
        return InputError(message, f"{self.where}: {key}")
