"""Hugging Face `config.json` to `Model`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from placement.errors import InputError
from placement.question.model import Model

from .build import build_model
from .fields import shown
from .formulas import NotUnderstood, from_formulas
from .parts import Shape
from .quantization import quantization
from .remembered import library_version, recall, remember

OLDEST = 5
"""First release of `transformers` whose caches tell how they grow."""

LARGEST_FILE = 10_000_000
"""Bytes of the largest JSON file that is read."""


def read_config(
    config: Mapping[str, Any] | str | Path,
    *,
    weights: str = "bfloat16",
    kv_dtype: str | None = None,
    name: str | None = None,
) -> Model:
    """Return the model that a Hugging Face configuration describes.

    Parameters
    ----------
    config : mapping or path
        The content of a config.json, or where the file is.
    weights : str
        Number format or quantization of the weights.
    kv_dtype : str, optional
        Number format of the KV cache; 16 bits when left out (32 for float32 weights).
    name : str, optional
        Name of the model; by default the one in the configuration.

    Returns
    -------
    Model
        Blocks `embed`, `layer.0`, ..., `head`.
    """
    values, where = (config, "config.json") if isinstance(config, Mapping) else (load_json(Path(config)), str(config))
    quantized = quantization(weights)
    shape = read_shape(values, where)
    title = name or _title(values, config)
    notes = (*shape.notes, *_stored_format(values, quantized.name))
    return build_model(replace(shape, notes=notes), title, quantized, kv_dtype)


def read_shape(values: Mapping[str, Any], where: str = "config.json") -> Shape:
    """Return the tensors of the language model in a configuration, by role and size.

    The formulas serve where they understand every key, and give what the module of `transformers` gives. Anything else
    is read off that module, once: what was read is kept in a file. Without `transformers` it is refused.

    Parameters
    ----------
    values : mapping
        What a config.json holds.
    where : str
        What errors call the file.

    Raises
    ------
    InputError
        A value is wrong, or the architecture is not known.
    """
    found = from_formulas(values, where)
    towers = any(key.endswith(("vision_config", "audio_config")) for key in values)
    if isinstance(found, Shape) and not towers:
        return found
    known = recall(values)
    if known is not None:
        return known
    if int(library_version().partition(".")[0] or 0) < OLDEST:
        return found if isinstance(found, Shape) else _refused(found, where)
    from .library.language import read_library

    shape = read_library(values, where)
    remember(values, shape)
    return shape


def _refused(found: NotUnderstood, where: str) -> Shape:
    keys = f" (keys not understood: {', '.join(found.keys)})" if found.keys else ""
    raise InputError(
        f"{found.architecture} is not among the architectures that are read without transformers {OLDEST}{keys}: "
        "pip install 'llm-placement[torch]'",
        f"{where}: model_type",
    )


def load_json(path: Path, largest: int = LARGEST_FILE) -> Mapping[str, Any]:
    """Return the mapping in a JSON file of at most `largest` bytes."""
    try:
        size = path.stat().st_size
        if size > largest:
            raise InputError(f"the file has {size / 1e6:.0f} MB; at most {largest / 1e6:.0f} MB are read", str(path))
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", str(path)) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"is not valid JSON: {error}", str(path)) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"is not usable JSON: {type(error).__name__}", str(path)) from None
    if not isinstance(values, dict):
        raise InputError(f"expected a JSON object, got {shown(values)}", str(path))
    return values


def _title(values: Mapping[str, Any], config: object) -> str:
    stated = values.get("_name_or_path") or values.get("name")
    if isinstance(stated, str) and stated:
        return stated.rstrip("/").rsplit("/", 1)[-1]
    if isinstance(config, str | Path):
        path = Path(config)
        return path.resolve().parent.name if path.name == "config.json" else path.stem
    return str(values.get("model_type") or "model")


def _stored_format(values: Mapping[str, Any], planned: str) -> tuple[str, ...]:
    stored = values.get("quantization_config")
    method = stored.get("quant_method") if isinstance(stored, Mapping) else None
    if not method or str(method) == planned:
        return ()
    return (f"The configuration says that the checkpoint is stored as {method}; planned with weights in {planned}.",)
