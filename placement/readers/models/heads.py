"""How many heads the attention of a model has: devices that hold a layer together share them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_INSIDE = ("text_config", "language_config", "llm_config")
_HEADS = ("num_attention_heads", "n_head", "num_heads")
_KV_HEADS = ("num_key_value_heads", "n_head_kv", "num_kv_heads", "multi_query_group_num")


def head_counts(config: Mapping[str, Any]) -> tuple[int, int]:
    """Attention heads, and the pieces into which a cache can be divided, of a Hugging Face configuration.

    A number that differs from layer to layer counts as the greatest common divisor: what divides it divides them all.
    A latent cache is one piece (DeepSeek-AI, "DeepSeek-V2", 2024, arXiv:2405.04434, section 2.1).
    """
    inner = inner_config(config)
    heads = _count(inner, _HEADS)
    if not heads:
        return 0, 0
    if inner.get("kv_lora_rank"):
        return heads, 1
    if inner.get("multi_query") is True and not inner.get("new_decoder_architecture"):
        return heads, 1
    return heads, _count(inner, _KV_HEADS) or heads


def inner_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a configuration says of its language model: a part of it, where there are towers beside."""
    return next((config[key] for key in _INSIDE if isinstance(config.get(key), Mapping)), config)


def common_count(values: Sequence[object]) -> int:
    """The greatest common divisor of the counts in a list; entries that are no counts are left out."""
    return math.gcd(*(value for value in values if isinstance(value, int) and value > 0))


def _count(values: Mapping[str, Any], keys: Sequence[str]) -> int:
    found = next((values[key] for key in keys if values.get(key) is not None), 0)
    return common_count(found if isinstance(found, list | tuple) else [found])
