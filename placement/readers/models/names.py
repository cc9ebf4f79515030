"""Names of tensors: which block each belongs to, in checkpoints, modules and GGUF files alike."""

from __future__ import annotations

import re

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|blk|block|layer|decoder_layers)\.(\d+)\.")
_ROUTED = re.compile(r"(?:^|\.)experts\.|_exps\.")
_OTHER_TOWERS = re.compile(
    r"(?:^|\.)(?:vision_tower|vision_model|vision_embed_tokens|visual|multi_modal_projector|mm_projector|audio_tower"
    r"|embed_vision|embed_audio|image_newline|mtp|eh_proj)(?:\.|$)"
)
_EMBED = re.compile(
    r"(?:^|\.)(?:embed_tokens|embed_in|wte|wpe|word_embeddings|word_embeddings_layernorm|embed_positions|tok_embeddings"
    r"|embedding|embeddings|embed|token_embd|token_embd_norm|position_embd|project_in|tok_emb|pos_emb)(?:\.|$)"
)
_HEAD = re.compile(
    r"(?:^|\.)(?:norm|ln_f|final_layer_norm|final_layernorm|lm_head|embed_out|output|output_norm|project_out|norm_f|head"
    r"|ln_out)(?:\.|$)"
)
# Tables that a runtime computes anew; ".attn.bias" is the causal mask of GPT-2 checkpoints.
_BUFFERS = (
    "inv_freq",
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
    ".masked_bias",
    ".attn.bias",
)

EMBED = -1
"""Stands for the block before the layers."""

HEAD = -2
"""Stands for the block after the layers."""


def block_of(tensor: str) -> int | None:
    """Return the layer of a tensor, `EMBED` or `HEAD`; None for another tower, a table, or an unknown name."""
    if is_other_tower(tensor) or tensor.endswith(_BUFFERS):
        return None
    layer = _LAYER.search(tensor)
    if layer:
        return int(layer.group(1))
    if _EMBED.search(tensor):
        return EMBED
    return HEAD if _HEAD.search(tensor) else None


def is_buffer(tensor: str) -> bool:
    """Tell whether a tensor is a table that a runtime computes anew."""
    return tensor.endswith(_BUFFERS)


def is_other_tower(tensor: str) -> bool:
    """Tell whether a tensor serves images, audio or multi-token prediction."""
    return _OTHER_TOWERS.search(tensor) is not None


def is_routed(tensor: str) -> bool:
    """Tell whether a tensor belongs to routed experts (shared experts have other names)."""
    return _ROUTED.search(tensor) is not None


def is_lm_head(tensor: str) -> bool:
    """Tell whether a tensor is the matrix of the LM head."""
    return re.search(r"(?:^|\.)(?:lm_head|embed_out|output)\.(?:weight|qweight)", tensor) is not None
