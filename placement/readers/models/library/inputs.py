"""Example inputs of a module, where none are given: from its configuration, or from what its first layers take."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

POSITIONS = 16
"""Length of sequences in examples."""

_SIDES = (224, 256, 64, 32)
"""Pixels of images that are tried where a module does not say its own."""

_SIDE_NAMES = ("image_size", "img_size", "input_size", "sample_size", "input_resolution")


def examples(module: nn.Module) -> Iterator[dict[str, Any]]:
    """Yield arguments that a module's forward may take, the likeliest first; all on the meta device.

    Parameters
    ----------
    module : nn.Module
    """
    for name in ("dummy_inputs", "example_inputs", "example_input_array"):
        stated = _stated(module, name)
        if stated is not None:
            yield stated
    names = _required(module)
    if hasattr(getattr(module, "config", None), "to_dict") and hasattr(module, "main_input_name"):
        yield _of_config(module)
    for side in _sides(module):
        found = {name: _guess(module, name, at, side) for at, name in enumerate(names)}
        if names and all(value is not None for value in found.values()):
            yield found


def _stated(module: nn.Module, name: str) -> dict[str, Any] | None:
    try:
        value = getattr(module, name, None)
    except Exception:  # a property of the user's own, which may need what is not there
        return None
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, torch.Tensor):
        value = (value,)
    return dict(zip(_required(module), value, strict=False)) if isinstance(value, tuple | list) and value else None


def _required(module: nn.Module) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = inspect.signature(module.forward).parameters.values()
    return [entry.name for entry in known if entry.default is inspect.Parameter.empty and entry.kind in kinds]


def _of_config(module: Any) -> dict[str, Any]:
    known = inspect.signature(module.forward).parameters
    config = module.config
    seeing = getattr(config, "vision_config", None) or config
    found: dict[str, Any] = {}
    if "pixel_values" in known and (getattr(config, "vision_config", None) or module.main_input_name == "pixel_values"):
        side = getattr(seeing, "image_size", 224)
        height, width = side if isinstance(side, tuple | list) else (side, side)
        found["pixel_values"] = _floats(1, getattr(seeing, "num_channels", 3), height, width)
    if "input_features" in known and module.main_input_name == "input_features":
        frames = 2 * getattr(config, "max_source_positions", 1500)
        found["input_features"] = _floats(1, getattr(config, "num_mel_bins", 80), frames)
    if "input_values" in known and module.main_input_name == "input_values":
        found["input_values"] = _floats(1, 16_000)
    reads = module.main_input_name == "input_ids" or getattr(config, "text_config", None) is not None
    if "input_ids" in known and reads and module.main_input_name not in ("input_features", "input_values"):
        found["input_ids"] = _ids()
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in known:
        found["decoder_input_ids"] = _ids()
    return found


def _sides(module: nn.Module) -> Iterator[int]:
    for child in module.modules():
        for name in _SIDE_NAMES:
            value = getattr(child, name, None)
            value = value[0] if isinstance(value, tuple | list) and value else value
            if isinstance(value, int) and 8 <= value <= 4096:
                yield value
    yield from _SIDES


def _guess(module: nn.Module, name: str, place: int, side: int) -> Any:
    word = name.lower()
    if word in ("t", "time", "timestep", "timesteps", "sigma", "guidance") or "timestep" in word:
        return _floats(1)
    if word.endswith("ids") or "token" in word or (word in ("src", "tgt") and _first(module, nn.Embedding) is not None):
        return _ids()
    named = _taking(module, word)
    if place == 0:
        return _taken_by(named or _first(module), side)
    if named is not None and any(part in word for part in ("pool", "vec", "label", "cond_vec")):
        return _floats(1, int(getattr(named, "in_features", 1)))
    return _taken_by(named or _first(module), side)


def _taking(module: nn.Module, word: str) -> nn.Module | None:
    """Return the layer whose name says that it takes the argument `word`, as `txt_in` takes `txt`."""
    stem = word.removesuffix("_states").removesuffix("_embeds").removesuffix("_hidden")
    for path, child in module.named_modules():
        if stem and stem in path.lower() and isinstance(child, nn.Linear | nn.Embedding | nn.Conv2d):
            return child
    return None


def _first(module: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...] | None = None) -> nn.Module | None:
    """Return the first layer that has weights."""
    kinds = kind or (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.LayerNorm, nn.MultiheadAttention)
    return next((child for child in module.modules() if isinstance(child, kinds)), None)


def _taken_by(layer: nn.Module | None, side: int) -> Any:
    if isinstance(layer, nn.Embedding):
        return _ids()
    if isinstance(layer, nn.Conv1d):
        return _floats(1, layer.in_channels, 64)
    if isinstance(layer, nn.Conv2d):
        return _floats(1, layer.in_channels, side, side)
    if isinstance(layer, nn.Conv3d):
        return _floats(1, layer.in_channels, 8, side, side)
    if isinstance(layer, nn.Linear):
        return _floats(1, POSITIONS, layer.in_features)
    if isinstance(layer, nn.MultiheadAttention):
        return _floats(1, POSITIONS, layer.embed_dim)
    if isinstance(layer, nn.LayerNorm):
        return _floats(1, POSITIONS, int(layer.normalized_shape[-1]))
    return None


def _ids() -> torch.Tensor:
    return torch.zeros(1, POSITIONS, dtype=torch.long, device="meta")


def _floats(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, device="meta")
