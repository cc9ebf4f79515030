"""Decoders whose feed-forward networks have no gate: GPT-2, BLOOM, OPT, Falcon, GPT-NeoX, Phi-2, StarCoder2, Nemotron.

Sizes follow the modelling code of Hugging Face transformers (Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass

from .families import sliding_windows
from .fields import Fields
from .parts import Layer, Part, Shape, attention, ffn, linear, norm


def gpt2(f: Fields) -> Shape:
    """Return the shape of a GPT-2 model: learned positions, biases everywhere, tied head."""
    hidden, count = f.count("n_embd", "hidden_size"), f.count("n_layer", "num_hidden_layers")
    heads = f.count("n_head", "num_attention_heads")
    inner = f.count("n_inner", default=4 * hidden)
    parts = (
        *attention(hidden, heads, heads, _head_dim(f, hidden, heads), bias=True, out_bias=True, fused=True),
        *ffn(hidden, inner, gated=False, bias=True),
        *norm(hidden, bias=True, copies=2),
    )
    positions = f.count("n_positions", "max_position_embeddings")
    embed = (*linear("embed", hidden, f.count("vocab_size")), Part("position", positions * hidden, hidden))
    return _shape(f, hidden, (_layer(parts, hidden, hidden),) * count, embed, norm(hidden, bias=True))


def qwen(f: Fields) -> Shape:
    """Return the shape of a Qwen 1 model (arXiv:2309.16609); its `intermediate_size` counts gate and up together."""
    hidden, count, heads = f.count("hidden_size"), f.count("num_hidden_layers"), f.count("num_attention_heads")
    width = f.count("kv_channels", default=_head_dim(f, hidden, heads))
    bias = not f.flag("no_bias", True)
    parts = (
        *attention(hidden, heads, heads, width, bias=True, out_bias=bias, fused=True),
        *ffn(hidden, f.count("intermediate_size") // 2, bias=bias),
        *norm(hidden, copies=2),
    )
    vocab = f.count("vocab_size")
    layers = (_layer(parts, heads * width, heads * width),) * count
    head = (*norm(hidden), *linear("head", hidden, vocab))
    return Shape(hidden, layers, linear("embed", hidden, vocab), head, f.flag("tie_word_embeddings", False))


def bloom(f: Fields) -> Shape:
    """Return the shape of a BLOOM model (arXiv:2211.05100): ALiBi, a norm after the embedding, tied head."""
    hidden, count = f.count("hidden_size", "n_embed", "n_embd"), f.count("n_layer", "num_hidden_layers")
    heads = f.count("n_head", "num_attention_heads")
    parts = (
        *attention(hidden, heads, heads, _head_dim(f, hidden, heads), bias=True, out_bias=True, fused=True),
        *ffn(hidden, 4 * hidden, gated=False, bias=True),
        *norm(hidden, bias=True, copies=2),
    )
    embed = (*linear("embed", hidden, f.count("vocab_size")), *norm(hidden, bias=True))
    return _shape(f, hidden, (_layer(parts, hidden, hidden),) * count, embed, norm(hidden, bias=True))


def opt(f: Fields) -> Shape:
    """Return the shape of an OPT model (arXiv:2205.01068): learned positions, tied head."""
    hidden, count, heads = f.count("hidden_size"), f.count("num_hidden_layers"), f.count("num_attention_heads")
    bias = f.flag("enable_bias", True)
    parts = (
        *attention(hidden, heads, heads, _head_dim(f, hidden, heads), bias=bias, out_bias=bias),
        *ffn(hidden, f.count("ffn_dim"), gated=False, bias=bias),
        *norm(hidden, bias=True, copies=2),
    )
    width = f.count("word_embed_proj_dim", default=hidden)
    # Position tables of OPT begin at 2.
    positions = (f.count("max_position_embeddings") + 2) * hidden
    embed = (*linear("embed", width, f.count("vocab_size")), Part("position", positions, hidden))
    end = norm(hidden, bias=True) if f.flag("do_layer_norm_before", True) else ()
    if width != hidden:
        embed, end = (*embed, *linear("up", width, hidden)), (*end, *linear("down", hidden, width))
    return _shape(f, hidden, (_layer(parts, hidden, hidden),) * count, embed, end, width)


def falcon(f: Fields) -> Shape:
    """Return the shape of a Falcon model (arXiv:2311.16867): multi-query or grouped attention."""
    hidden, count = f.count("hidden_size"), f.count("num_hidden_layers", "n_layer")
    heads = f.count("num_attention_heads", "n_head")
    head_dim = _head_dim(f, hidden, heads)
    grouped = f.flag("new_decoder_architecture", False)
    kv_heads = heads
    if grouped:
        kv_heads = f.count("num_kv_heads", "n_head_kv", default=heads)
    elif f.flag("multi_query", True):
        kv_heads = 1
    bias = f.flag("bias", False)
    parallel = grouped or f.flag("parallel_attn", True)
    norms = f.count("num_ln_in_parallel_attn", default=2 if grouped else 1) if parallel else 2
    parts = (
        *attention(hidden, heads, kv_heads, head_dim, bias=bias, out_bias=bias, fused=True),
        *ffn(hidden, f.count("ffn_hidden_size", default=4 * hidden), gated=False, bias=bias),
        *norm(hidden, bias=True, copies=norms),
    )
    embed = linear("embed", hidden, f.count("vocab_size"))
    layers = (_layer(parts, kv_heads * head_dim, heads * head_dim),) * count
    return _shape(f, hidden, layers, embed, norm(hidden, bias=True), ratio=heads / kv_heads)


@dataclass(frozen=True, slots=True)
class PlainStyle:
    """What tells one plain decoder from another.

    Attributes
    ----------
    bias : bool
        Linear maps have biases, unless a key says otherwise.
    bias_key, ffn_bias_key : str
        The keys that say so of the attention and of the feed-forward network; empty: none does.
    norms : int
        Norms per layer.
    tied : bool
        Default of `tie_word_embeddings`.
    head_bias : bool
        The LM head has a bias.
    fused : bool
        Query, key and value are one matrix.
    """

    bias: bool = True
    bias_key: str = ""
    ffn_bias_key: str = ""
    norms: int = 2
    tied: bool = False
    head_bias: bool = False
    fused: bool = False


PLAIN_STYLES: dict[str, PlainStyle] = {
    "gpt_neox": PlainStyle(fused=True, bias_key="attention_bias"),
    "phi": PlainStyle(norms=1, head_bias=True),
    "starcoder2": PlainStyle(tied=True, bias_key="use_bias", ffn_bias_key="use_bias"),
    "nemotron": PlainStyle(bias=False, bias_key="attention_bias", ffn_bias_key="mlp_bias"),
}
"""Architectures that `plain_decoder` reads, by `model_type`."""


def plain_decoder(f: Fields, style: PlainStyle) -> Shape:
    """Return the shape of a decoder with layer norms, rotary positions and networks without a gate."""
    hidden, count, heads = f.count("hidden_size"), f.count("num_hidden_layers"), f.count("num_attention_heads")
    head_dim = f.count("head_dim") if "head_dim" in f else _head_dim(f, hidden, heads)
    kv_heads = f.count("num_key_value_heads", default=heads)
    bias = f.flag(style.bias_key, style.bias) if style.bias_key else style.bias
    ffn_bias = f.flag(style.ffn_bias_key, style.bias) if style.ffn_bias_key else style.bias
    parts = (
        *attention(hidden, heads, kv_heads, head_dim, bias=bias, out_bias=bias, fused=style.fused),
        *ffn(hidden, f.count("intermediate_size", default=4 * hidden), gated=False, bias=ffn_bias),
        *norm(hidden, bias=True, copies=style.norms),
    )
    layers = tuple(
        Layer(parts, kv_values=2 * kv_heads * head_dim, score_dims=2 * heads * head_dim, window=window)
        for window in sliding_windows(f, count, 0)
    )
    vocab = f.count("vocab_size")
    head = (*norm(hidden, bias=True), *linear("head", hidden, vocab, bias=style.head_bias))
    tied = f.flag("tie_word_embeddings", style.tied)
    return Shape(hidden, layers, linear("embed", hidden, vocab), head, tied, heads / kv_heads)


def _layer(parts: tuple[Part, ...], kv_width: int, query_width: int) -> Layer:
    return Layer(parts, kv_values=2 * kv_width, score_dims=2 * query_width)


def _shape(
    f: Fields,
    hidden: int,
    layers: tuple[Layer, ...],
    embed: tuple[Part, ...],
    end: tuple[Part, ...],
    width: int | None = None,
    ratio: float = 1.0,
) -> Shape:
    head = (*end, *linear("head", width or hidden, f.count("vocab_size")))
    return Shape(hidden, layers, embed, head, f.flag("tie_word_embeddings", True), ratio)


def _head_dim(f: Fields, hidden: int, heads: int) -> int:
    if hidden % heads:
        raise f.error("num_attention_heads", f"expected a divisor of the hidden size {hidden}, got {heads}")
    return hidden // heads
