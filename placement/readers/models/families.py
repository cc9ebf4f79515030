"""Gated decoders in the Llama line: one reader for dense, GQA, MoE, sliding windows and per-layer sizes.

Sizes follow the modelling code of Hugging Face transformers (Apache-2.0) for each `model_type`; keys that a config.json
may leave out take the defaults of that architecture's configuration class.
"""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Fields, shown
from .parts import Layer, Part, Shape, attention, ffn, linear, norm


@dataclass(frozen=True, slots=True)
class Style:
    """What a config.json of an architecture does not say, because its code fixes it.

    Attributes
    ----------
    qkv_bias, out_bias : bool or None
        Biases of the attention; None: the key `attention_bias` says.
    fused : bool
        Query, key and value are one matrix.
    norms : int
        Norms of the hidden size per layer.
    qk_norm : bool
        Norms over the head dimension of queries and keys.
    tied : bool
        Default of `tie_word_embeddings`.
    pattern : int
        Default of `sliding_window_pattern`: every so many layers, one attends to the whole context.
    sinks : bool
        One learned number per head beside the scores.
    moe : bool
        Expert keys are read.
    kv_heads, heads, head_dim, vocab : int or None
        Defaults of the sizes.
    """

    qkv_bias: bool | None = None
    out_bias: bool | None = None
    fused: bool = False
    norms: int = 2
    qk_norm: bool = False
    tied: bool = False
    pattern: int = 0
    sinks: bool = False
    moe: bool = False
    kv_heads: int | None = None
    heads: int | None = None
    head_dim: int | None = None
    vocab: int | None = None


STYLES: dict[str, Style] = {
    "llama": Style(),
    "mistral": Style(),
    "mixtral": Style(moe=True),
    "qwen2": Style(qkv_bias=True, out_bias=False),
    "qwen2_moe": Style(qkv_bias=True, out_bias=False, moe=True),
    "qwen3": Style(qk_norm=True),
    "qwen3_moe": Style(qk_norm=True, moe=True),
    "gemma": Style(tied=True, head_dim=256),
    "gemma2": Style(tied=True, norms=4, pattern=2, head_dim=256),
    "gemma3_text": Style(tied=True, norms=4, pattern=6, qk_norm=True, heads=8, kv_heads=4, head_dim=256, vocab=262208),
    "phi3": Style(qkv_bias=False, out_bias=False, fused=True),
    "gpt_oss": Style(qkv_bias=True, out_bias=True, pattern=2, sinks=True, moe=True),
    "smollm3": Style(tied=True),
    "cohere": Style(tied=True, norms=1),
    "cohere2": Style(tied=True, norms=1, pattern=4),
    "glm4_moe": Style(out_bias=False, moe=True),
}
"""Architectures that this file reads, by `model_type`."""


def gated_decoder(f: Fields, style: Style) -> Shape:
    """Return the shape of a decoder with gated feed-forward networks and RMS norms."""
    hidden = f.count("hidden_size")
    count = f.count("num_hidden_layers")
    heads = f.count("num_attention_heads", default=style.heads)
    head_dim = f.count("head_dim", default=style.head_dim or max(1, hidden // heads))
    kv_heads = _kv_heads(f, count, heads, style)
    inner = f.per_layer(count, "intermediate_size") if "block_configs" not in f else _block_inner(f, count, hidden)
    windows = sliding_windows(f, count, style.pattern)
    sparse = _sparse_layers(f, count) if style.moe else [False] * count
    layers = []
    for at in range(count):
        mixer = _attention(f, style, hidden, heads, kv_heads[at], head_dim)
        network = _moe(f, hidden) if sparse[at] else _dense(f, hidden, inner[at], _linear_ffn(f, at))
        parts = (*mixer, *network, *norm(hidden, copies=style.norms))
        layers.append(_layer(f, parts, heads, kv_heads[at], head_dim, windows[at], sparse[at]))
    tied = f.flag("tie_word_embeddings", style.tied)
    vocab = f.count("vocab_size", default=style.vocab)
    ratio = heads / max(1, *kv_heads)
    return Shape(
        hidden,
        tuple(layers),
        linear("embed", hidden, vocab),
        (*norm(hidden), *linear("head", hidden, vocab)),
        tied,
        ratio,
    )


def _layer(
    f: Fields, parts: tuple[Part, ...], heads: int, kv_heads: int, head_dim: int, window: int | None, sparse: bool
) -> Layer:
    experts = expert_count(f) if sparse else 0
    return Layer(
        parts,
        kind="moe" if sparse else "dense",
        kv_values=2 * kv_heads * head_dim,
        score_dims=2 * heads * head_dim if kv_heads else 0,
        window=window if kv_heads else None,
        experts=experts,
        experts_per_token=experts_per_token(f, experts) if sparse else 0,
    )


def _attention(f: Fields, style: Style, hidden: int, heads: int, kv_heads: int, head_dim: int) -> tuple[Part, ...]:
    if kv_heads == 0:
        return ()
    stated = f.flag("attention_bias", False)
    parts = attention(
        hidden,
        heads,
        kv_heads,
        head_dim,
        bias=f.flag("qkv_bias", stated if style.qkv_bias is None else style.qkv_bias),
        out_bias=stated if style.out_bias is None else style.out_bias,
        fused=style.fused,
    )
    extra = norm(head_dim, copies=2) if style.qk_norm or f.flag("use_qk_norm", False) else ()
    sinks = (Part("bias", heads, heads),) if style.sinks else ()
    return (*parts, *extra, *sinks)


def _dense(f: Fields, hidden: int, inner: int, linear_only: bool) -> tuple[Part, ...]:
    if linear_only:
        return linear("up", hidden, hidden)
    return ffn(hidden, inner, bias=f.flag("mlp_bias", False)) if inner else ()


def expert_count(f: Fields) -> int:
    """Return the number of routed experts."""
    return f.count("num_local_experts", "num_experts", "n_routed_experts")


def experts_per_token(f: Fields, experts: int) -> int:
    """Return how many routed experts serve one token."""
    used = f.count("num_experts_per_tok", "experts_per_token", "top_k_experts")
    if used > experts:
        raise f.error("num_experts_per_tok", f"expected at most the {experts} experts that there are, got {used}")
    return used


def _moe(f: Fields, hidden: int) -> tuple[Part, ...]:
    experts = expert_count(f)
    inner = f.count("moe_intermediate_size", "intermediate_size")
    biased = f.text("model_type") == "gpt_oss"
    balanced = f.text("model_type") == "glm4_moe"  # chooses experts with a trained offset for each
    parts = (
        *linear("router", hidden, experts, bias=biased or balanced),
        *ffn(hidden, inner, copies=experts, routed=True, bias=biased),
    )
    if "shared_expert_intermediate_size" in f:
        shared = f.count("shared_expert_intermediate_size", zero=True)
        return (*parts, *ffn(hidden, shared), *linear("router", hidden, 1)) if shared else parts
    shared = f.count("n_shared_experts", "num_shared_experts", default=0, zero=True)
    return (*parts, *ffn(hidden, inner * shared)) if shared else parts


def _sparse_layers(f: Fields, count: int) -> list[bool]:
    dense = {f.checked_count(entry, "mlp_only_layers", zero=True) for entry in f.items("mlp_only_layers")}
    step = f.count("decoder_sparse_step", default=1)
    first = f.count("first_k_dense_replace", default=0, zero=True)
    return [at not in dense and at >= first and (at + 1) % step == 0 for at in range(count)]


def _kv_heads(f: Fields, count: int, heads: int, style: Style) -> list[int]:
    if "block_configs" in f:
        return [_block_kv_heads(f, at, heads) for at in range(count)]
    keys = ("num_key_value_heads", "num_key_value_heads_per_layer")
    kv_heads = f.per_layer(count, *keys, default=style.kv_heads or heads)
    for number in kv_heads:
        if number and heads % number:
            raise f.error(keys[0], f"expected a divisor of the {heads} attention heads, got {number}")
    return kv_heads


def sliding_windows(f: Fields, count: int, pattern: int) -> list[int | None]:
    """Return the window of each layer in tokens, None where a layer attends to the whole context."""
    types = f.items("layer_types", count)
    for at, kind in enumerate(types):
        if kind not in ("full_attention", "sliding_attention"):
            known = "expected full_attention or sliding_attention"
            raise f.error(f"layer_types[{at}]", f"{known}, got {shown(kind)} (other layers are not supported)")
    if "sliding_window" not in f or not f.flag("use_sliding_window", True):
        if any(kind == "sliding_attention" for kind in types):
            raise f.missing("sliding_window")
        return [None] * count
    window = f.count("sliding_window")
    if types:
        return [window if kind == "sliding_attention" else None for kind in types]
    every = f.count("sliding_window_pattern", "_sliding_window_pattern", default=pattern or count + 1)
    first = f.count("max_window_layers", default=0, zero=True) if "use_sliding_window" in f else 0
    return [window if (at + 1) % every and at >= first else None for at in range(count)]


# Models whose layers were pruned one by one (Nemotron, DeciLM) list a block_configs entry for each.


def _block_part(f: Fields, at: int, part: str) -> Fields:
    entry = f.items("block_configs")[at] if at < len(f.items("block_configs")) else None
    where = f"{f.where}: block_configs[{at}]"
    if not isinstance(entry, dict) or not isinstance(entry.get(part), dict):
        raise f.error(f"block_configs[{at}]", f"expected a mapping with '{part}', got {shown(entry)}")
    return Fields(entry[part], f"{where}: {part}")


def _block_kv_heads(f: Fields, at: int, heads: int) -> int:
    block = _block_part(f, at, "attention")
    if block.flag("no_op", False) or block.flag("replace_with_linear", False):
        return 0
    if "num_key_value_heads" in block:
        return block.count("num_key_value_heads")
    group = block.count("n_heads_in_group")
    if heads % group:
        raise block.error("n_heads_in_group", f"expected a divisor of the {heads} attention heads, got {group}")
    return heads // group


def _block_inner(f: Fields, count: int, hidden: int) -> list[int]:
    inner = []
    for at in range(count):
        block = _block_part(f, at, "ffn")
        if block.flag("no_op", False):
            inner.append(0)
        elif "intermediate_size" in block or block.flag("replace_with_linear", False):
            inner.append(block.count("intermediate_size", default=hidden))
        else:
            # DeciLM: two thirds of the multiple, rounded up to a multiple of 256.
            exact = int(2 * block.number("ffn_mult", 4.0) * hidden / 3)
            inner.append(-(-exact // 256) * 256)
    return inner


def _linear_ffn(f: Fields, at: int) -> bool:
    return "block_configs" in f and _block_part(f, at, "ffn").flag("replace_with_linear", False)
