"""One type of `transformers`: the module's own parameters and cache, and what the reader says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from placement.errors import InputError
from placement.readers.models.build import build_model
from placement.readers.models.library.caches import stored, watched
from placement.readers.models.library.experts import find_experts, passed_through
from placement.readers.models.library.ghost import Ghost, lists_of_ones
from placement.readers.models.library.language import quiet, read_library
from placement.readers.models.quantization import quantization

_KNOWN = frozenset({"keys", "values", "indexer_keys", "conv_states", "recurrent_states", "_sliding_window_tensor"})

SHORT, LONG = 64, 9000
"""Lengths of the two prompts, in tokens."""

# Sizes for the types whose configuration class cannot be built as it is.
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "deepseek_v2": {"num_experts_per_tok": 6, "moe_intermediate_size": 1408, "topk_group": 1, "n_group": 1},
    "dots1": {
        "n_routed_experts": 128,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "n_group": 1,
        "topk_group": 1,
        "moe_intermediate_size": 1408,
    },
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"] * 8},
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128, "num_key_value_heads": 8},
    "bamba": {"attn_layer_indices": [9, 18, 27]},
    "granitemoehybrid": {"layer_types": (["mamba"] * 7 + ["attention"]) * 4},
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a module holds, and what was read of it.

    Attributes
    ----------
    kind : str
        The `model_type`.
    params, read_params : int
        Parameters of the module; those of blocks and extras.
    cache, read_cache : tuple of float
        Bytes of the cache of one sequence after `SHORT` and `LONG` tokens.
    refused : str
        Why nothing was read; empty where something was.
    broken : str
        Why the module itself cannot be built or run; empty where it can.
    """

    kind: str
    params: int = 0
    read_params: int = 0
    cache: tuple[float, ...] = ()
    read_cache: tuple[float, ...] = ()
    refused: str = ""
    broken: str = ""

    @property
    def params_error(self) -> float:
        """Relative error of the parameters."""
        return abs(self.read_params / self.params - 1.0) if self.params else 0.0

    @property
    def cache_error(self) -> float:
        """Largest relative error of the cache at both lengths."""
        pairs = zip(self.cache, self.read_cache, strict=False)
        return max((abs(read - own) / max(own, 1.0) for own, read in pairs), default=0.0)


def compared(kind: str, model_class: str, sizes: Mapping[str, Any] | None = None) -> Comparison:
    """Return what the module of a type holds, and what the reader makes of its configuration.

    Parameters
    ----------
    kind : str
        A `model_type` of `transformers`.
    model_class : str
        Name of its class with a language head.
    sizes : mapping, optional
        Keys that differ from the defaults of the configuration class.
    """
    import transformers

    with quiet():
        try:
            config = transformers.AutoConfig.for_model(kind, **{**NEEDED.get(kind, {}), **(sizes or {})})
            values = {**config.to_dict(), "architectures": [model_class]}
            module = _built(getattr(transformers, model_class), config)
            params = sum(parameter.numel() for parameter in module.parameters())
        except Exception as error:
            return Comparison(kind, broken=_line(error))
        try:
            model = build_model(read_library(values), kind, quantization("bfloat16"), None)
        except InputError as error:
            return Comparison(kind, params, refused=str(error), broken=_broken(module))
        read = model.params + sum(extra.params for extra in model.extras)
        read_cache = tuple(sum(block.kv_bytes(tokens) for block in model.blocks) for tokens in (SHORT, LONG))
        try:
            cache = own_cache(module)
        except Exception as error:
            return Comparison(kind, params, read, (), read_cache, broken=_line(error))
    return Comparison(kind, params, read, cache, read_cache)


def _broken(module: nn.Module) -> str:
    """Return why a module cannot be run by itself; empty where it can."""
    try:
        own_cache(module)
    except Exception as error:
        return _line(error)
    return ""


def own_cache(module: nn.Module) -> tuple[float, float]:
    """Return the bytes of the cache that a model makes of `SHORT` and of `LONG` tokens.

    The cache of the short prompt is given the keys and values of as many more tokens as the long one has: what it keeps
    of them is its own rule. Caches that hold other things are filled by a pass over the long prompt.
    """
    layers = filled(module, SHORT)
    inner = sum(
        value.numel() * value.element_size()
        for child in module.modules()
        for name, value in vars(child).items()
        if isinstance(value, torch.Tensor) and "state" in name
    )
    short = _held(layers)
    if any(hasattr(layer, "keys") and set(_roots(layer)) - _KNOWN for layer in layers):
        return short + inner, _held(filled(module, LONG)) + inner
    with torch.no_grad(), Ghost():
        for layer in layers:
            _grow(layer)
    return short + inner, _held(layers) + inner


def filled(module: nn.Module, tokens: int) -> list[Any]:
    """Return the layers of the cache after a prompt."""
    experts = find_experts(module.eval())
    with passed_through(module, experts), watched(lambda: -1) as fills, lists_of_ones(), torch.no_grad(), Ghost(600.0):
        inputs: dict[str, Any] = {"input_ids": torch.zeros(1, tokens, dtype=torch.long, device="meta")}
        output = module(**inputs, use_cache=True)
    made = (getattr(output, name, None) for name in ("past_key_values", "cache_params", "cache", "state"))
    holder = next((value for value in made if value is not None), fills.holder)
    if isinstance(holder, list | tuple):
        return [_Box(holder)]
    return list(getattr(holder, "layers", [holder] if holder is not None else []))


class _Box:
    def __init__(self, state: Any) -> None:
        self.state = state


def _held(layers: list[Any]) -> float:
    total, seen = 0.0, set()
    for layer in layers:
        for _, tensor in stored(layer):
            key = tensor.untyped_storage()._cdata
            if key not in seen:
                seen.add(key)
                total += tensor.numel() * tensor.element_size()
    return total


def _roots(layer: Any) -> list[str]:
    return [name.partition("[")[0] for name, _ in stored(layer)]


def _grow(layer: Any) -> None:
    keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
    if isinstance(keys, torch.Tensor) and isinstance(values, torch.Tensor) and keys.numel():
        more = LONG - SHORT
        layer.update(
            keys.new_empty((*keys.shape[:2], more, keys.shape[3])),
            values.new_empty((*values.shape[:2], more, values.shape[3])),
        )
    index = getattr(layer, "indexer_keys", None)
    if isinstance(index, torch.Tensor) and index.numel():
        layer.update_indexer(index.new_empty((index.shape[0], LONG - SHORT, index.shape[2])))


def _built(model_class: Any, config: Any) -> nn.Module:
    if not isinstance(config, model_class.config_class):
        inner = config.get_text_config(decoder=True)
        config = inner if isinstance(inner, model_class.config_class) else config
    with torch.device("meta"):
        module: nn.Module = model_class._from_config(config, dtype=torch.bfloat16, attn_implementation="eager")
    return module


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
