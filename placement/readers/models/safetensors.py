"""A checkpoint folder: config.json for the shape, the headers of the .safetensors files for the true bytes.

Only headers are read (https://huggingface.co/docs/safetensors: 8 bytes of length, then JSON); no tensor is loaded, and
pickled files are never opened.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from placement.errors import InputError
from placement.question.model import Model

from .build import build_model
from .config import beside_of, load_json, read_config
from .facts import with_facts
from .fields import shown
from .language import find_language_model
from .measured import Tensor, census, left_out, module_of, with_true_bytes
from .names import is_buffer
from .quantization import QUANTIZATIONS, quantization
from .shards import ensure_inside, shard_names
from .stored.choice import choose_format
from .stored.find import stored_format
from .stored_shapes import shape_of_tensors

LARGEST_HEADER = 100_000_000
"""Bytes of the largest header that the format allows."""

LARGEST_INDEX = 200_000_000
"""Bytes of the largest index that is read (the index of a model with many experts passes 10 MB)."""

_DTYPES: Mapping[str, str] = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "fp8",
    "F8_E5M2": "fp8",
    "I8": "int8",
}


def read_checkpoint(folder: str | Path, *, weights: str | None = None, kv_dtype: str | None = None) -> Model:
    """Return the model in a checkpoint folder, with the bytes that its files hold.

    Parameters
    ----------
    folder : path
        Holds config.json and one or more .safetensors files (or their index alone).
    weights : str, optional
        A format narrower than 16 bits plans a 16-bit checkpoint as quantized while it is loaded.
    kv_dtype : str, optional
        Number format of the KV cache; by default what the checkpoint states, else 16 bits.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        The folder holds no weights, or files that are broken or are not all there.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise InputError("there is no config.json in this folder", str(folder))
    shards, index = _shards(folder)
    tensors = [tensor for shard in shards for tensor in read_header(shard)]
    told = _teller(folder, tensors, kv_dtype)
    asked = told(weights)
    if index is not None:
        return _by_index(asked, index, folder, asked=weights is not None)
    found = census(tensors, asked.n_blocks - 2)
    narrow = QUANTIZATIONS.get(found.dtype)
    is_wide = narrow is not None and narrow.bits >= 16 and asked.weights != found.dtype
    if is_wide and weights is not None and (quantization(weights).bits < 16 or found.dtype == "float32"):
        note = f"The files hold {found.dtype}; planned as quantized to {asked.weights} while loading."
        return replace(asked, notes=(*asked.notes, note))
    stated = told(None)
    if stated.weights == "bfloat16" and narrow is not None:
        stated = told(found.dtype)
    elif stated.weights == "bfloat16":
        stated = replace(stated, weights=found.dtype)
    return with_true_bytes(stated, found, str(folder))


def _teller(folder: Path, tensors: Sequence[Tensor], kv_dtype: str | None) -> Callable[[str | None], Model]:
    """Return what tells the model for a format of weights: its configuration, or the shapes that are stored."""
    config, name = folder / "config.json", folder.resolve().name

    def by_config(weights: str | None) -> Model:
        return read_config(config, weights=weights, kv_dtype=kv_dtype, name=name)

    try:
        by_config(None)
    except InputError as refused:
        if refused.where.rpartition(": ")[2] not in ("model_type", "architectures"):
            raise
        values = load_json(config)
        told = shape_of_tensors(tensors, values)
        if told is None:
            raise
        title = shown((values.get("architectures") or [values.get("model_type")])[0])
        note = f"The architecture {title} is not known: blocks, operations and caches follow from the stored tensors."
        shape = replace(told, notes=(note,))

        def by_tensors(weights: str | None) -> Model:
            chosen = choose_format(stored_format(values, beside_of(config), str(config)), weights, kv_dtype)
            noted = replace(shape, notes=(*shape.notes, *chosen.notes))
            return with_facts(build_model(noted, name, chosen.format, chosen.kv_dtype), values)

        return by_tensors
    return by_config


def read_header(path: Path) -> Iterator[Tensor]:
    """Yield the tensors that the header of a .safetensors file lists."""
    header, room = _load_header(path)
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            start, end = entry["data_offsets"]
            dtype = str(entry["dtype"])
        except (TypeError, KeyError, ValueError):
            raise InputError(f"expected dtype and data_offsets, got {shown(entry)}", f"{path}: {shown(name)}") from None
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end <= room):
            raise InputError(f"the offsets {start}, {end} lie outside of the file", f"{path}: {shown(name)}")
        shape = entry.get("shape")
        sizes = tuple(shape) if isinstance(shape, list) and all(type(size) is int for size in shape) else ()
        yield Tensor(name, float(end - start), _DTYPES.get(dtype, dtype.lower()), sizes)


def _load_header(path: Path) -> tuple[Mapping[str, Any], int]:
    ensure_inside(path.parent, path)
    try:
        if not path.is_file():
            raise InputError("expected a file", str(path))
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= min(size - 8, LARGEST_HEADER):
                raise InputError("the file is not in the safetensors format, or is cut short", str(path))
            header = json.loads(file.read(length))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", str(path)) from None
    except (ValueError, RecursionError):
        raise InputError("the header of the safetensors file is broken", str(path)) from None
    if not isinstance(header, dict):
        raise InputError("the header of the safetensors file is broken", str(path))
    return header, size - 8 - length


@dataclass(frozen=True, slots=True)
class _Index:
    """An index whose files are not there: names of tensors, and bytes of all of them together."""

    names: tuple[str, ...]
    total: float


def _shards(folder: Path) -> tuple[list[Path], _Index | None]:
    """Return the weight files, or no file and what the index states."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise _no_weights(folder)
        whole = folder / "model.safetensors"
        return ([whole] if whole in files else files), None
    values = load_json(index, largest=LARGEST_INDEX)
    table = values.get("weight_map")
    if not isinstance(table, dict) or not table:
        raise InputError(f"expected the file of each tensor, got {shown(table)}", f"{index}: weight_map")
    files = [folder / name for name in shard_names(table, f"{index}: weight_map")]
    absent = [file for file in files if not file.is_file()]
    if absent and len(absent) < len(files):
        raise InputError(f"{absent[0].name} is missing ({len(absent)} of {len(files)} files)", str(folder))
    return ([], _Index(tuple(table), _total_size(values, index))) if absent else (files, None)


def _total_size(index: Mapping[str, Any], path: Path) -> float:
    metadata = index.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 < total < 1e18:
        raise InputError(f"expected the bytes of all tensors, got {shown(total)}", f"{path}: metadata.total_size")
    return float(total)


def _by_index(model: Model, index: _Index, folder: Path, *, asked: bool) -> Model:
    """Return `model`, whose bytes come from its shapes, with what an index without its files adds.

    Parameters
    ----------
    model : Model
        As the configuration tells it.
    index : _Index
    folder : path
        For messages.
    asked : bool
        The user asked for a format, so that the total of the index says nothing of the plan.

    Returns
    -------
    Model
    """
    layers = model.n_blocks - 2
    language = find_language_model(index.names, layers)
    own = [name for name in index.names if language.block_of(name) is not None]
    if not own:
        raise InputError(
            "no tensor of the language model is in the index (names of an unknown architecture?)", str(folder)
        )
    note = "The weight files are not in the folder: sizes of blocks follow from the configuration."
    if asked:
        return replace(model, notes=(*model.notes, note))
    beside = sum(extra.weight_bytes for extra in model.extras)
    rest = index.total - beside - (model.weight_bytes - sum(tie.shared_bytes for tie in model.ties if tie.copies))
    if rest < -0.01 * index.total:
        return _scaled(model, index.total)
    others = [name for name in index.names if language.block_of(name) is None]
    if rest > 0.001 * index.total:
        known = {extra.name.rpartition(".")[2] for extra in model.extras}
        found = dict.fromkeys(module_of(name, language) for name in others if not is_buffer(name))
        modules = [name for name in found if name.rpartition(".")[2] not in known]
        return replace(model, notes=(*model.notes, note, left_out(rest, modules)))
    return replace(model, notes=(*model.notes, note))


def _scaled(model: Model, total: float) -> Model:
    """Return `model` with its bytes scaled to the total of an index that is smaller than its shapes."""
    tied = sum(tie.shared_bytes for tie in model.ties if tie.copies)
    factor = total / (model.weight_bytes - tied)
    blocks = tuple(b.weighing(b.weight_bytes * factor, b.expert_bytes * factor) for b in model.blocks)
    ties = tuple(replace(tie, shared_bytes=tie.shared_bytes * factor) for tie in model.ties)
    note = (
        f"The index states {total / 1e9:.2f} GB, less than the configuration says, in a format that it does not name: "
        "sizes of blocks are shares of that total."
    )
    return replace(model, blocks=blocks, ties=ties, notes=(*model.notes, note))


def _no_weights(folder: Path) -> InputError:
    pickled = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    if pickled:
        advice = "pickled weights are not opened; convert them to safetensors, or name the config.json itself"
        return InputError(f"found {pickled[0].name} but no .safetensors file: {advice}", str(folder))
    return InputError(
        "there is no .safetensors file; to plan without weights, name the config.json itself", str(folder)
    )
