"""Hugging Face `config.json` to `Model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from objectives.caches import ensure_user_name
from placement.errors import InputError, shortened
from placement.files import read_document
from placement.question.model import Model

from .build import build_model
from .facts import with_facts
from .formulas import NotUnderstood, from_formulas
from .parts import Shape
from .remembered import library_version, recall, remember
from .stored.choice import choose_format
from .stored.find import stored_format

OLDEST = 5
"""First release of `transformers` whose caches tell how they grow."""

LARGEST_FILE = 10_000_000
"""Bytes of the largest JSON file that is read."""


def read_config(
    config: Mapping[str, Any] | str | Path,
    *,
    weights: str | None = None,
    kv_dtype: str | None = None,
    name: str | None = None,
) -> Model:
    """Return the model that a Hugging Face configuration describes.

    Parameters
    ----------
    config : mapping or path
        The content of a config.json, or where the file is.
    weights : str, optional
        Number format or quantization of the weights; by default what the configuration states, else 16 bits.
    kv_dtype : str, optional
        Number format of the KV cache; by default what the configuration states, else 16 bits (32 for float32 weights).
    name : str, optional
        Name of the model; by default the one in the configuration.

    Returns
    -------
    Model
        Blocks `embed`, `layer.0`, ..., `head`.
    """
    values, where = (config, "config.json") if isinstance(config, Mapping) else (load_json(Path(config)), str(config))
    beside = None if isinstance(config, Mapping) else beside_of(Path(config))
    chosen = choose_format(stored_format(values, beside, where), weights, kv_dtype)
    shape = read_shape(values, where)
    title = name or _title(values, config)
    shape = replace(shape, notes=(*shape.notes, *chosen.notes))
    return with_facts(build_model(shape, title, chosen.format, chosen.kv_dtype), values)


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
    shape = _library(where)(values, where)
    remember(values, shape)
    return shape


def _library(where: str) -> Callable[[Mapping[str, Any], str], Shape]:
    """The reader of modules; one line where torch or transformers are there and cannot be imported."""
    ensure_user_name()
    try:
        from .library.language import read_library  # torch and transformers come with it
    except Exception as error:  # two packages that do not suit each other raise anything
        said = shortened(f"{type(error).__name__}: {error}", 160)
        raise InputError(f"torch and transformers {library_version()} cannot be imported: {said}", where) from error
    return read_library


def _refused(found: NotUnderstood, where: str) -> Shape:
    keys = f" (keys not understood: {', '.join(found.keys)})" if found.keys else ""
    raise InputError(
        f"{found.architecture} is not among the architectures that are read without transformers {OLDEST}{keys}: "
        "pip install 'llm-placement[torch]'",
        f"{where}: model_type",
    )


def beside_of(path: Path) -> Mapping[str, Any] | None:
    """Return the content of the hf_quant_config.json beside a configuration, where there is one."""
    file = path.with_name("hf_quant_config.json")
    return load_json(file) if file.is_file() else None


def load_json(path: Path, largest: int = LARGEST_FILE) -> Mapping[str, Any]:
    """Return the mapping in a JSON file of at most `largest` bytes."""
    return read_document(path, largest=largest, form="json")


def _title(values: Mapping[str, Any], config: object) -> str:
    stated = values.get("_name_or_path") or values.get("name")
    if isinstance(stated, str) and stated:
        return stated.rstrip("/").rsplit("/", 1)[-1]
    if isinstance(config, str | Path):
        path = Path(config)
        return path.resolve().parent.name if path.name == "config.json" else path.stem
    return str(values.get("model_type") or "model")
