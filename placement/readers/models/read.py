"""One door for everything that names a model: preset, config.json, checkpoint folder, GGUF file, module."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from placement.catalog.presets import Preset, models, preset
from placement.errors import InputError, nearest
from placement.question.model import Model

from .config import read_config
from .fields import shown


def read_model(spec: str | Path | Model | Any, *, weights: str | None = None, kv_dtype: str | None = None) -> Model:
    """Return the model that `spec` names or is.

    Parameters
    ----------
    spec : str, Path, Model or torch.nn.Module
        Name of a preset, path to a config.json, a checkpoint folder or a .gguf file, or the thing itself.
    weights : str, optional
        Number format or quantization to plan with; by default what the checkpoint states, else 16 bits. A GGUF file
        keeps its own format; a checkpoint folder in 16 bits is planned as quantized when a narrower one is given.
    kv_dtype : str, optional
        Number format of the KV cache.

    Raises
    ------
    InputError
        There is no such preset or file, its architecture is not understood, or a value in it is wrong.
    """
    if isinstance(spec, Model):
        return spec
    if isinstance(spec, str) and (found := _preset(spec)) is not None:
        model = read_config(found.config, weights=weights, kv_dtype=kv_dtype, name=_title(spec, found))
        return replace(model, longest_context=found.context_of(spec))
    if isinstance(spec, str | Path) and str(spec).strip():
        return _read_path(Path(os.path.expanduser(spec)), str(spec), weights, kv_dtype)
    module: Any = spec
    if hasattr(module, "named_parameters"):
        from .torch_module import read_module  # torch comes with it

        return read_module(module, kv_dtype=kv_dtype)
    raise InputError(f"expected a preset name, a path, a Model or a torch module, got {shown(spec)}", "model")


def _read_path(path: Path, spec: str, weights: str | None, kv_dtype: str | None) -> Model:
    try:
        is_dir, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):
        is_dir = is_file = False
    if is_dir:
        from .safetensors import read_checkpoint  # only checkpoints need it

        return read_checkpoint(path, weights=weights, kv_dtype=kv_dtype)
    if not is_file:
        raise _unknown(spec)
    if path.suffix.lower() == ".gguf":
        from .gguf import read_gguf  # the package gguf comes with it

        return read_gguf(path, kv_dtype=kv_dtype)
    if path.suffix.lower() in (".safetensors", ".bin", ".pt", ".pth"):
        raise InputError("expected the checkpoint folder (with its config.json), got one weights file", spec)
    return read_config(path, weights=weights, kv_dtype=kv_dtype)


def _preset(spec: str) -> Preset | None:
    """Return the preset that `spec` names, unless a file or folder of that name lies here."""
    found = preset(spec)
    return None if found is not None and ("/" in spec and os.path.exists(os.path.expanduser(spec))) else found


def _title(spec: str, found: Preset) -> str:
    """Return what to call a preset: the alias that was given, where it says more than another spelling."""
    word = spec.strip().lower().rsplit("/", 1)[-1]
    return word if word in {alias.lower() for alias in found.aliases} else found.name


def _unknown(spec: str) -> InputError:
    if "/" in spec or "\\" in spec or spec.lower().endswith((".json", ".gguf")):
        return InputError(f"there is no such file or folder: {spec!r}", "model")
    hint = nearest(spec, models()) or " (`placement catalog models` lists them)"
    return InputError(f"unknown model preset {spec!r}{hint}", "model")
