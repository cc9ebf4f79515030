"""One statement of a checkpoint about its own format, and what is understood of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from placement.errors import InputError

from ..fields import shown
from ..module_names import NameList, name_list
from ..quantization import Quantization

WIDE = frozenset({"embed", "head", "router"})
"""Roles that most methods leave in 16 bits."""

WIDE_INPUTS = frozenset({"embed", "router"})
"""Roles that every method for linear maps leaves in 16 bits: of the head, the statement says so itself."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a checkpoint says of its own format.

    Attributes
    ----------
    method : str
        In its own words.
    format : Quantization or None
        None when the method is not understood.
    kv_dtype : str or None
        Format of the KV cache that it asks for.
    dropped : tuple of str
        Expressions for modules that are not used.
    """

    method: str
    format: Quantization | None
    kv_dtype: str | None = None
    dropped: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a plan says that takes the weights as they are stored."""
        if self.format is None:
            return (f"The checkpoint is stored as {shown(self.method)}, which is not known: sized as 16 bits.",)
        cache = f", with a KV cache in {self.kv_dtype}" if self.kv_dtype else ""
        weights = f"{self.format.name} ({self.format.bits:.4g} bits)"
        notes = [f"The checkpoint states {self.method}: planned with weights in {weights}{cache}."]
        if self.dropped:
            count = len(self.dropped)
            notes.append(f"Of its expressions for modules {count} cannot be used, the first {shown(self.dropped[0])}.")
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class Statement:
    """The keys of one statement."""

    values: Mapping[str, Any]
    where: str

    def number(self, *keys: str, default: int) -> int:
        """Return the first of `keys` that is stated: bits from 1 to 64; sizes of groups from 1 up, -1 a whole row."""
        key = next((key for key in keys if self.values.get(key) is not None), None)
        value = default if key is None else self.values[key]
        whole = isinstance(value, int) and not isinstance(value, bool)
        if any("bit" in name for name in keys):
            if not (whole and 1 <= value <= 64):
                raise InputError(f"expected a whole number from 1 to 64, got {shown(value)}", f"{self.where}: {key}")
        elif not (whole and (value == -1 or 1 <= value <= 1 << 20)):
            raise InputError(f"expected a whole number from 1 up, got {shown(value)}", f"{self.where}: {key}")
        return value

    def names(self, *keys: str) -> NameList:
        """Return the modules that any of `keys` lists."""
        found: list[Any] = []
        for key in keys:
            listed = self.values.get(key)
            found.extend(listed if isinstance(listed, list) else [])
        return name_list(found)


def grouped(bits: float, group: int, *, scale: float = 16.0, zero: float = 0.0) -> tuple[float, float]:
    """Return bits per weight and bits per row of values whose scales and zero points serve groups; -1: a whole row."""
    return (bits, scale + zero) if group <= 0 else (bits + (scale + zero) / group, 0.0)


def integer(name: str, bits: int, group: int, zero: bool, **more: Any) -> Quantization:
    """Return the format of packed integers; `group` -1 is a whole row, `zero` a packed zero point for each group."""
    per_weight, per_row = grouped(bits, group, zero=bits if zero else 0)
    title = f"int{bits}" + (f"_g{group}" if group > 0 else "_rows") + ("_zero" if zero else "")
    return Quantization(title, per_weight, "bfloat16", f"{name}, as stated", row_bits=per_row, **more)
