"""What was read of a configuration, kept in a file: a second read needs neither torch nor seconds."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from objectives.caches import cache_root
from placement.errors import InputError
from placement.files import write_atomic

from .parts import Beside, Layer, Part, Shape, Shared

EDITION = 1
"""Of the way in which modules are read: files of another edition are read anew."""

_IRRELEVANT = (
    "_name_or_path",
    "name",
    "transformers_version",
    "auto_map",
    "quantization_config",
    "torch_dtype",
    "dtype",
    "compression_config",
    "quantization",
)


def key_of(values: Mapping[str, Any]) -> str:
    """Return the hash of a configuration, without what does not change the shapes of its tensors."""
    relevant = {key: value for key, value in values.items() if key not in _IRRELEVANT}
    text = json.dumps(relevant, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def library_version() -> str:
    """Return the version of the installed `transformers`; empty without it, or without torch."""
    try:
        version("torch")
        return version("transformers")
    except PackageNotFoundError:
        return ""


def recall(values: Mapping[str, Any]) -> Shape | None:
    """Return what was read of a configuration before, here or for a preset, or None."""
    name, folder = f"{key_of(values)}.json", _folder()
    own = _stored(folder / name) if folder is not None else None
    if own is not None and library_version() not in ("", own["transformers"]):
        own = None  # another version may build another module
    stored = own or _stored(files("placement.catalog").joinpath("readings", name))
    try:
        return from_plain(stored["shape"]) if stored else None
    except (ValueError, KeyError, TypeError, IndexError):
        return None  # a file that is broken is as good as none


def remember(values: Mapping[str, Any], shape: Shape) -> None:
    """Keep what was read of a configuration; where nothing can be written, nothing is."""
    stored = {"edition": EDITION, "transformers": library_version(), "shape": to_plain(shape)}
    folder = _folder()
    if folder is None:
        return
    with contextlib.suppress(InputError, OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{key_of(values)}.json", json.dumps(stored, separators=(",", ":")))


def _folder() -> Path | None:
    root = cache_root()
    return root / "placement" / "models" if root is not None else None


def _stored(path: Any) -> dict[str, Any] | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(stored, dict) and stored.get("edition") == EDITION and {"shape", "transformers"} <= stored.keys()
    return stored if whole else None


def to_plain(shape: Shape) -> dict[str, Any]:
    """Return a shape as JSON can hold it: lists of tensors that several layers have are written once."""
    tables: dict[tuple[Part, ...], int] = {}
    layers = []
    for layer in shape.layers:
        number = tables.setdefault(layer.parts, len(tables))
        layers.append([number, *(getattr(layer, name) for name in _LAYER)])
    return {
        "hidden": shape.hidden,
        "tied": shape.tied,
        "kv_ratio": shape.kv_ratio,
        "notes": list(shape.notes),
        "handed_on": shape.handed_on,
        "cuts": list(shape.cuts),
        "embed": _plain(shape.embed),
        "head": _plain(shape.head),
        "tables": [_plain(parts) for parts in tables],
        "layers": layers,
        "shared": [[list(entry.blocks), list(entry.part), entry.copies] for entry in shape.shared],
        "beside": [[entry.name, entry.kind, _plain(entry.parts), entry.block] for entry in shape.beside],
    }


def from_plain(stored: Mapping[str, Any]) -> Shape:
    """Return the shape that `to_plain` wrote."""
    tables = [_parts(entry) for entry in stored["tables"]]
    return Shape(
        hidden=int(stored["hidden"]),
        layers=tuple(
            Layer(tables[entry[0]], **dict(zip(_LAYER, entry[1:], strict=True))) for entry in stored["layers"]
        ),
        embed=_parts(stored["embed"]),
        head=_parts(stored["head"]),
        tied=bool(stored["tied"]),
        kv_ratio=float(stored["kv_ratio"]),
        notes=tuple(str(note) for note in stored["notes"]),
        handed_on=stored["handed_on"],
        shared=tuple(Shared(tuple(blocks), Part(*part), copies) for blocks, part, copies in stored["shared"]),
        cuts=tuple(stored["cuts"]),
        beside=tuple(Beside(name, kind, _parts(parts), block) for name, kind, parts, block in stored["beside"]),
    )


_LAYER = tuple(name for name in Layer.__slots__ if name != "parts")


def _plain(parts: tuple[Part, ...]) -> list[list[Any]]:
    return [list(part) for part in parts]


def _parts(stored: list[list[Any]]) -> tuple[Part, ...]:
    return tuple(Part(*entry) for entry in stored)
