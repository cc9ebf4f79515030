"""Where the blocks are inside a `transformers` model: embedding, decoder layers, final norm and LM head.

Blocks are numbered as everywhere: 0 is `embed`, 1 to L are the decoder layers, L + 1 is `head`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .quiet import quiet

_CACHE_WORDS = ("cache", "past_key_values", "past_key_value", "layer_past")
_LAYERS, _EMBED, _POSITION, _NORM = ("layers", "h"), ("embed_tokens", "wte"), ("wpe",), ("norm", "ln_f")


@dataclass(frozen=True, slots=True)
class Architecture:
    """The parts of a causal language model and the names of their parameters.

    Attributes
    ----------
    config : transformers configuration
    embed : nn.Module
    position : nn.Module or None
        Learned positions (GPT-2); None with rotary ones.
    layers : nn.ModuleList
    norm, head : nn.Module
    rotary : nn.Module or None
    cache_word : str
        What a decoder layer calls its KV cache; it changed between releases.
    prefix : str
        Name of the base model inside the causal model ("model", "transformer").
    layers_name : str
        Name of the list of layers inside the base model.
    """

    config: Any
    embed: nn.Module
    position: nn.Module | None
    layers: nn.ModuleList
    norm: nn.Module
    head: nn.Module
    rotary: nn.Module | None
    cache_word: str
    prefix: str
    layers_name: str

    @property
    def n_blocks(self) -> int:
        """Embedding, decoder layers, head."""
        return len(self.layers) + 2

    def modules(self, block: int) -> list[nn.Module]:
        """Return the modules of a block."""
        if block == 0:
            return [self.embed] if self.position is None else [self.embed, self.position]
        if block == self.n_blocks - 1:
            return [self.norm, self.head]
        return [self.layers[block - 1]]

    def block_of(self, name: str) -> int | None:
        """Return the block that a parameter of the causal model belongs to, by its name; None for none of them."""
        inner = name.removeprefix(self.prefix + ".")
        if inner.startswith(self.layers_name + "."):
            return int(inner.split(".")[1]) + 1
        if inner.split(".")[0] in (*_EMBED, *_POSITION):
            return 0
        return self.n_blocks - 1 if inner.split(".")[0] in (*_NORM, "lm_head") else None


def block_names(n_blocks: int) -> tuple[str, ...]:
    """Return ``embed, layer.0, ..., head``, the names that the model readers give."""
    return ("embed", *(f"layer.{i}" for i in range(n_blocks - 2)), "head")


def find(model: nn.Module) -> Architecture:
    """Return the parts of a causal language model; raise `InputError` for an architecture that has others."""
    prefix = str(getattr(model, "base_model_prefix", "model"))
    base = getattr(model, prefix, None)
    head = getattr(model, "lm_head", None)
    layers_name = next((name for name in _LAYERS if isinstance(getattr(base, name, None), nn.ModuleList)), "")
    embed, norm = _first(base, _EMBED), _first(base, _NORM)
    position, rotary = _first(base, _POSITION), getattr(base, "rotary_emb", None)
    extra = {name for name, _ in base.named_children()} if base is not None else set()
    known = {*_LAYERS, *_EMBED, *_POSITION, *_NORM, "rotary_emb", "drop"}
    if not layers_name or embed is None or norm is None or head is None or extra - known:
        what = f"it has {', '.join(sorted(extra - known))}" if extra - known else "its parts are not found"
        raise InputError(
            f"the executor runs Llama-, GPT-2- and MoE-style decoders, not {type(model).__name__} ({what})", "model"
        )
    layers = getattr(base, layers_name)
    words = inspect.signature(layers[0].forward).parameters
    word = next((word for word in _CACHE_WORDS if word in words), "past_key_values")
    return Architecture(model.config, embed, position, layers, norm, head, rotary, word, prefix, layers_name)


def skeleton(folder: Path, dtype: str = "auto") -> nn.Module:
    """Build the model of a checkpoint folder without memory for its parameters; buffers are real.

    Parameters
    ----------
    folder : Path
        Holds a config.json.
    dtype : str
        "auto" keeps the format that the configuration states.
    """
    from transformers import AutoConfig

    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return _empty(config, dtype)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(str(error).strip().splitlines()[0], str(folder)) from None


def skeleton_from(config: Mapping[str, Any], dtype: str = "auto") -> nn.Module:
    """Build the same from the content of a config.json."""
    from transformers import AutoConfig

    values = dict(config)
    try:
        with quiet():
            return _empty(AutoConfig.for_model(values.pop("model_type"), **values), dtype)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(str(error).strip().splitlines()[0], "config.json") from None


def _empty(config: Any, dtype: str) -> nn.Module:
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    number = getattr(config, "dtype", None) if dtype == "auto" else getattr(torch, dtype, None)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=number or torch.float32)  # type: ignore[no-untyped-call]
    model.eval()
    built: nn.Module = model
    return built


def _first(base: nn.Module | None, names: tuple[str, ...]) -> nn.Module | None:
    return next((part for name in names if (part := getattr(base, name, None)) is not None), None)
