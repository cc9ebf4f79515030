"""The header of a GGUF file: metadata and tensor list, without touching the tensors.

The layout is specified at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The reader of the `gguf` package
turns every token of the vocabulary into arrays, which takes seconds; here they are stepped over. Block sizes and names
of formats come from that package.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from placement.errors import InputError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KEPT_ITEMS = 20_000
"""Longer arrays are vocabularies: their values are not kept."""

_MOST_ENTRIES = 10_000_000


class GgufTensor(NamedTuple):
    """One tensor of a GGUF file: name, dimensions (the row first), id of its number format, offset in bytes."""

    name: str
    dims: tuple[int, ...]
    format: int
    offset: int

    @property
    def params(self) -> int:
        """Number of weights."""
        return math.prod(self.dims)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata and tensors of one file.

    Attributes
    ----------
    metadata : dict
        By key; arrays of more than 20,000 entries are left out.
    tensors : tuple of GgufTensor
    data_start : int
        Byte at which the tensors begin.
    size : int
        Bytes of the file.
    """

    metadata: dict[str, Any]
    tensors: tuple[GgufTensor, ...]
    data_start: int
    size: int


def read_header(path: Path) -> GgufHeader:
    """Return the header of the GGUF file at `path` (`InputError` when it is none, or broken)."""
    try:
        size = path.stat().st_size
        if size < 24:
            raise InputError("the file is not in the GGUF format", str(path))
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(data, size, path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", str(path)) from None
    except (struct.error, ValueError, KeyError, IndexError, OverflowError, RecursionError):
        raise InputError("the header of the GGUF file is broken or cut short", str(path)) from None


def _parse(data: mmap.mmap, size: int, path: Path) -> GgufHeader:
    if data[:4] != b"GGUF":
        raise InputError("the file is not in the GGUF format", str(path))
    little = struct.unpack_from("<I", data, 4)[0] < 65536
    cursor = _Cursor(data, "<" if little else ">", 4)
    version = cursor.scalar(4)
    if version not in (2, 3):
        raise InputError(f"GGUF version {version} is not supported (2 and 3 are)", str(path))
    n_tensors, n_keys = cursor.scalar(10), cursor.scalar(10)
    if max(n_tensors, n_keys) > _MOST_ENTRIES:
        raise ValueError("too many entries")
    metadata = {}
    for _ in range(n_keys):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.scalar(4))
    tensors = tuple(_tensor(cursor) for _ in range(n_tensors))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError("no alignment")
    start = -(-cursor.at // alignment) * alignment
    return GgufHeader({k: v for k, v in metadata.items() if v is not None}, tensors, start, size)


def _tensor(cursor: _Cursor) -> GgufTensor:
    name = cursor.string()
    n_dims = cursor.scalar(4)
    if n_dims > 8:
        raise ValueError("too many dimensions")
    dims = tuple(cursor.scalar(10) for _ in range(n_dims))
    return GgufTensor(name, dims, cursor.scalar(4), cursor.scalar(10))


@dataclass(slots=True)
class _Cursor:
    """A place in the file that moves on as values are read."""

    data: mmap.mmap
    order: str
    at: int

    def scalar(self, kind: int) -> Any:
        form = self.order + _SCALARS[kind]
        value = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def string(self) -> str:
        length = self.scalar(10)
        start = self.at
        self._step(length)
        return self.data[start : self.at].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        return self._array() if kind == _ARRAY else self.scalar(kind)

    def _array(self) -> list[Any] | None:
        kind, count = self.scalar(4), self.scalar(10)
        if count <= _KEPT_ITEMS:
            return [self.value(kind) for _ in range(count)]
        if kind == _STRING:
            self._step_strings(count)
        elif kind == _ARRAY:
            for _ in range(count):
                self._array()
        else:
            self._step(count * struct.calcsize(self.order + _SCALARS[kind]))
        return None

    def _step(self, length: int) -> None:
        self.at += length
        if self.at > len(self.data):
            raise ValueError("cut short")

    def _step_strings(self, count: int) -> None:
        length_at = struct.Struct(self.order + "Q").unpack_from
        data, at, end = self.data, self.at, len(self.data)
        for _ in range(count):
            at += 8 + length_at(data, at)[0]
            if at > end:
                raise ValueError("cut short")
        self.at = at
