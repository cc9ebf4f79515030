"""Llama 4: routed experts in some layers with one shared expert, chunked attention in three layers of four.

Sizes follow the modelling code of Hugging Face transformers (Apache-2.0).
"""

from __future__ import annotations

from .families import expert_count, experts_per_token
from .fields import Fields
from .parts import Layer, Part, Shape, attention, ffn, linear, norm


def llama4(f: Fields) -> Shape:
    """Return the shape of the language model of Llama 4."""
    hidden, count, heads = f.count("hidden_size"), f.count("num_hidden_layers"), f.count("num_attention_heads")
    kv_heads, head_dim = (
        f.count("num_key_value_heads", default=heads),
        f.count("head_dim", default=hidden // heads or 1),
    )
    experts = expert_count(f)
    sparse = _sparse_layers(f, count)
    mixer = attention(hidden, heads, kv_heads, head_dim, bias=f.flag("attention_bias", False))
    layers = tuple(
        Layer(
            (*mixer, *(_moe(f, hidden, experts) if sparse[at] else _dense(f, hidden)), *norm(hidden, copies=2)),
            kind="moe" if sparse[at] else "dense",
            kv_values=2 * kv_heads * head_dim,
            score_dims=2 * heads * head_dim,
            window=window,
            experts=experts if sparse[at] else 0,
            experts_per_token=experts_per_token(f, experts) if sparse[at] else 0,
        )
        for at, window in enumerate(_chunks(f, count))
    )
    vocab = f.count("vocab_size")
    head = (*norm(hidden), *linear("head", hidden, vocab))
    tied = f.flag("tie_word_embeddings", False)
    return Shape(hidden, layers, linear("embed", hidden, vocab), head, tied, heads / kv_heads)


def _sparse_layers(f: Fields, count: int) -> list[bool]:
    listed = f.items("moe_layers")
    if listed:
        chosen = {f.checked_count(entry, "moe_layers", zero=True) for entry in listed}
        return [at in chosen for at in range(count)]
    step = f.count("interleave_moe_layer_step", default=1)
    return [(at + 1) % step == 0 for at in range(count)]


def _chunks(f: Fields, count: int) -> list[int | None]:
    """Return the tokens that a layer sees: a chunk in layers with rotary positions, everything in the others."""
    if "attention_chunk_size" not in f:
        return [None] * count
    chunk = f.count("attention_chunk_size")
    rotary = f.items("no_rope_layers")
    if rotary:  # despite its name, 1 in this list means that the layer has rotary positions
        return [chunk if at < len(rotary) and rotary[at] else None for at in range(count)]
    every = f.count("no_rope_layer_interval", default=4)
    return [chunk if (at + 1) % every else None for at in range(count)]


def _dense(f: Fields, hidden: int) -> tuple[Part, ...]:
    return ffn(hidden, f.count("intermediate_size_mlp", "intermediate_size"))


def _moe(f: Fields, hidden: int, experts: int) -> tuple[Part, ...]:
    inner = f.count("intermediate_size")
    routed = ffn(hidden, inner, copies=experts, routed=True)
    return (*linear("router", hidden, experts), *routed, *ffn(hidden, inner))
