"""A decoder told by the names and shapes of its stored tensors, where nothing knows its architecture.

Only plain decoders are told so: query, key, value and output projections, a gated feed-forward network, norms. Anything
else in a layer, or a window in the configuration, and the checkpoint is refused as before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .language import find_language_model
from .measured import Tensor
from .names import EMBED, HEAD, is_buffer, is_lm_head
from .parts import Layer, Part, Shape

_ROLES: Mapping[str, str] = {
    **{f"self_attn.{role}_proj": role for role in "qkvo"},
    **{f"mlp.{role}_proj": role for role in ("gate", "up", "down")},
}
_NEEDED = frozenset(_ROLES.values())
_NORMS = re.compile(
    r"(?:self_attn\.[qk]_norm|input_layernorm|post_attention_layernorm|(?:pre|post)_feedforward_layernorm)\.weight"
)
_INSIDE = ("text_config", "language_config", "llm_config")
_WINDOWS = ("sliding_window", "attention_chunk_size", "layer_types", "sliding_window_pattern", "use_sliding_window")


def shape_of_tensors(tensors: Sequence[Tensor], values: Mapping[str, Any]) -> Shape | None:
    """Return the shape that stored tensors tell, or None where they are not those of a plain decoder.

    Parameters
    ----------
    tensors : sequence of Tensor
        With their shapes.
    values : mapping
        The content of config.json.

    Returns
    -------
    Shape or None
    """
    config = next((values[key] for key in _INSIDE if isinstance(values.get(key), Mapping)), values)
    depth = config.get("num_hidden_layers")
    if type(depth) is not int or not 0 < depth <= len(tensors) or any(config.get(key) for key in _WINDOWS):
        return None
    language = find_language_model((tensor.name for tensor in tensors), depth)
    parts: dict[int, list[Part]] = {EMBED: [], HEAD: [], **{at: [] for at in range(language.layers)}}
    for tensor in tensors:
        block = language.block_of(tensor.name)
        if block is None:
            if language.is_own(tensor.name) and not is_buffer(tensor.name):
                return None
            continue
        part = _part(tensor, block)
        if part is None:
            return None
        parts[block].append(part)
    layers = [_layer(parts[at]) for at in range(language.layers)]
    embed = [part for part in parts[EMBED] if part.role == "embed"]
    if len(embed) != 1 or len(parts[EMBED]) != 1 or any(layer is None for layer in layers):
        return None
    tied = not any(part.role == "head" for part in parts[HEAD])
    head = [*parts[HEAD], *([embed[0]._replace(role="head")] if tied else [])]
    kinds = tuple(layer for layer in layers if layer is not None)
    query = next(part for part in kinds[0].parts if part.role == "q")
    ratio = query.params / query.row * 2.0 / max(1.0, kinds[0].kv_values)
    return Shape(embed[0].row, kinds, tuple(embed), tuple(head), tied, ratio)


def _part(tensor: Tensor, block: int) -> Part | None:
    dims = len(tensor.shape)
    params, row = _product(tensor.shape), tensor.shape[-1] if tensor.shape else 1
    if block == EMBED:
        return Part("embed", params, row) if dims == 2 else None
    if block == HEAD:
        if dims == 1:
            return Part("norm", params, row)
        return Part("head", params, row) if dims == 2 and is_lm_head(tensor.name) else None
    name = re.sub(r"^.*?\.\d+\.", "", tensor.name)
    if _NORMS.fullmatch(name) and dims == 1:
        return Part("norm", params, row)
    role = _ROLES.get(name.rpartition(".")[0])
    if role is None or dims not in (1, 2):
        return None
    if name.endswith(".bias"):
        return Part("bias", params, row)
    return Part(role, params, row) if name.endswith(".weight") and dims == 2 else None


def _layer(parts: list[Part]) -> Layer | None:
    """Return a layer of full attention: the cache holds the rows of the key and the value projection."""
    if not set(_NEEDED) <= {part.role for part in parts}:
        return None
    rows = {part.role: part.params // part.row for part in parts if part.role in _NEEDED}
    return Layer(tuple(parts), kv_values=rows["k"] + rows["v"], score_dims=2 * rows["q"])


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
