"""A checkpoint folder: config.json for the shape, the headers of the .safetensors files for the true bytes.

Only headers are read (https://huggingface.co/docs/safetensors: 8 bytes of length, then JSON); no tensor is loaded, and
pickled files are never opened.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from placement.errors import InputError
from placement.question.model import Model

from .config import load_json, read_config
from .fields import shown
from .measured import Tensor, census, with_true_bytes
from .quantization import QUANTIZATIONS, canonical
from .shards import ensure_inside, shard_names

LARGEST_HEADER = 100_000_000
"""Bytes of the largest header that the format allows."""

LARGEST_INDEX = 200_000_000
"""Bytes of the largest index that is read (the index of a model with many experts passes 10 MB)."""

_DTYPES: Mapping[str, str] = {
    "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "fp8", "F8_E5M2": "fp8", "I8": "int8",
}  # fmt: skip


def read_checkpoint(folder: str | Path, *, weights: str = "bfloat16", kv_dtype: str | None = None) -> Model:
    """Return the model in a checkpoint folder, with the bytes that its files hold.

    Parameters
    ----------
    folder : path
        Holds config.json and one or more .safetensors files (or their index alone).
    weights : str
        A format narrower than 16 bits plans a 16-bit checkpoint as quantized while it is loaded.
    kv_dtype : str, optional
        Number format of the KV cache.
    """
    folder = Path(folder)
    config = folder / "config.json"
    if not config.is_file():
        raise InputError("there is no config.json in this folder", str(folder))
    values = load_json(config)
    name = folder.resolve().name
    wanted = read_config(config, weights=weights, kv_dtype=kv_dtype, name=name)
    shards, total = _shards(folder)
    if not shards:
        return _scaled(read_config(config, kv_dtype=kv_dtype, name=name), total)
    found = census((t for shard in shards for t in read_header(shard)), wanted.n_blocks - 2)
    stored = _stored_name(values, found.dtype)
    if wanted.weights not in ("bfloat16", stored) and stored in ("bfloat16", "float16", "float32"):
        note = f"The files hold {stored}; planned as quantized to {wanted.weights} while loading."
        return replace(wanted, notes=(*wanted.notes, note))
    known = QUANTIZATIONS.get(stored)
    model = read_config(config, weights=stored if known else "bfloat16", kv_dtype=kv_dtype, name=name)
    return replace(with_true_bytes(model, found, str(folder)), weights=stored)


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
        yield Tensor(name, float(end - start), _DTYPES.get(dtype, dtype.lower()))


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


def _shards(folder: Path) -> tuple[list[Path], float]:
    """Return the weight files, or no file and the total size that the index states."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise _no_weights(folder)
        whole = folder / "model.safetensors"
        return ([whole] if whole in files else files), 0.0
    values = load_json(index, largest=LARGEST_INDEX)
    table = values.get("weight_map")
    if not isinstance(table, dict) or not table:
        raise InputError(f"expected the file of each tensor, got {shown(table)}", f"{index}: weight_map")
    files = [folder / name for name in shard_names(table, f"{index}: weight_map")]
    absent = [file for file in files if not file.is_file()]
    if absent and len(absent) < len(files):
        raise InputError(f"{absent[0].name} is missing ({len(absent)} of {len(files)} files)", str(folder))
    return ([], _total_size(values, index)) if absent else (files, 0.0)


def _total_size(index: Mapping[str, Any], path: Path) -> float:
    metadata = index.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 < total < 1e18:
        raise InputError(f"expected the bytes of all tensors, got {shown(total)}", f"{path}: metadata.total_size")
    return float(total)


def _scaled(model: Model, total: float) -> Model:
    """Return `model` with its bytes scaled to the stated total, for a folder that holds the index alone."""
    tied = sum(tie.shared_bytes for tie in model.ties)
    factor = total / (model.weight_bytes - tied)
    blocks = tuple(
        replace(b, weight_bytes=b.weight_bytes * factor, expert_bytes=b.expert_bytes * factor) for b in model.blocks
    )
    ties = tuple(replace(tie, shared_bytes=tie.shared_bytes * factor) for tie in model.ties)
    note = "The weight files are not in the folder: sizes of blocks are shares of the total that the index states."
    return replace(model, blocks=blocks, ties=ties, notes=(*model.notes, note))


def _stored_name(config: Mapping[str, Any], dtype: str) -> str:
    stated = config.get("quantization_config")
    method = canonical(stated.get("quant_method", "")) if isinstance(stated, dict) else ""
    if method == "bitsandbytes" and isinstance(stated, dict):
        return "nf4" if stated.get("load_in_4bit") else "int8"
    return method if method in QUANTIZATIONS else dtype


def _no_weights(folder: Path) -> InputError:
    pickled = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    if pickled:
        advice = "pickled weights are not opened; convert them to safetensors, or name the config.json itself"
        return InputError(f"found {pickled[0].name} but no .safetensors file: {advice}", str(folder))
    return InputError(
        "there is no .safetensors file; to plan without weights, name the config.json itself", str(folder)
    )
