"""What a configuration says of its model beside the tensors: its heads, and the context that it was made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from placement.question.model import Model

from .heads import head_counts, inner_config

_LENGTHS = (
    "model_max_length",  # Command R: its max_position_embeddings is what it was first trained with
    "max_position_embeddings",
    "n_positions",
    "seq_length",
    "max_seq_len",
    "max_sequence_length",
)
_LEFT_OUT = {"gemma3_text": 131072, "gemma3": 131072}
"""Defaults of architectures whose published files leave the key out (transformers, 2025: configuration_gemma3.py)."""
_STRETCHED = ("yarn", "linear", "dynamic")
"""Scaled positions whose factor counts from the original length; of others the stated length has it already."""
LARGEST = 10**9


def with_facts(model: Model, config: Mapping[str, Any]) -> Model:
    """Return the model with the heads and the longest context that its configuration states, as far as it does."""
    heads, kv_heads = head_counts(config)
    told = replace(model, longest_context=longest_context(config))
    return replace(told, heads=heads, kv_heads=kv_heads) if heads else told


def longest_context(config: Mapping[str, Any]) -> int:
    """Tokens of prompt and output that a Hugging Face configuration is made for; 0 where it does not say.

    Scaled positions count as in transformers (2025, modeling_rope_utils.py): a factor stretches the original length
    that stands beside it, and without one the length that is stated has been stretched already.
    """
    inner = inner_config(config)
    kind = str(inner.get("model_type", ""))
    stated = next((inner[key] for key in _LENGTHS if _tokens(inner.get(key))), _LEFT_OUT.get(kind))
    found = [_stretched(stated, scaling, inner) for scaling in _scalings(inner)]
    return max([_tokens(stated), *found])


def stretched(stated: object, kind: object, factor: object, original: object) -> int:
    """Tokens of a stated length whose positions are scaled.

    Parameters
    ----------
    stated : object
        Tokens, as a file states them.
    kind, factor, original : object
        Of the scaling: its name, by how much, and from how many tokens on; None where the file does not say.

    Returns
    -------
    int
        0 where nothing of it is a length.
    """
    tokens = _tokens(stated)
    if kind not in _STRETCHED or isinstance(factor, bool) or not isinstance(factor, int | float):
        return tokens
    return max(tokens, _tokens(_tokens(original) * factor) if 1 <= factor < LARGEST else 0)


def _stretched(stated: object, scaling: Mapping[str, Any], inner: Mapping[str, Any]) -> int:
    kind = scaling.get("rope_type", scaling.get("type"))
    key = "original_max_position_embeddings"
    return stretched(stated, kind, scaling.get("factor"), scaling.get(key, inner.get(key)))


def _scalings(inner: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a configuration says of scaled positions: once, or for each kind of layer."""
    keys = ("rope_scaling", "rope_parameters")
    said: Mapping[str, Any] = next((inner[key] for key in keys if isinstance(inner.get(key), Mapping)), {})
    return [said, *(entry for entry in said.values() if isinstance(entry, Mapping))]


def _tokens(value: object) -> int:
    """A number of tokens; 0 of anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= LARGEST:
        return 0
    return int(value)
