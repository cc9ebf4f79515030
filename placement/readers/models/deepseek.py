"""DeepSeek V2 and V3: latent attention (MLA), shared and routed experts, some dense layers at the start.

DeepSeek-V2: arXiv:2405.04434; DeepSeek-V3: arXiv:2412.19437. The multi-token prediction module of V3 is no part of the
chain that serves a token, and is left out.
"""

from __future__ import annotations

from .families import expert_count, experts_per_token
from .fields import Fields
from .parts import Layer, Part, Shape, ffn, linear, norm


def deepseek(f: Fields) -> Shape:
    """Return the shape of a DeepSeek V2 or V3 model."""
    hidden = f.count("hidden_size")
    count = f.count("num_hidden_layers")
    heads = f.count("num_attention_heads")
    experts = expert_count(f) if f.find("n_routed_experts", "num_experts", "num_local_experts") else 0
    dense_first = f.count("first_k_dense_replace", default=0, zero=True)
    every = f.count("moe_layer_freq", default=1)
    mixer = latent_attention(f, hidden, heads)
    latent = f.count("kv_lora_rank") + f.count("qk_rope_head_dim")
    scores = heads * (f.count("qk_nope_head_dim") + f.count("qk_rope_head_dim") + f.count("v_head_dim"))
    layers = []
    for at in range(count):
        sparse = bool(experts) and at >= dense_first and at % every == 0
        network = _moe(f, hidden, experts) if sparse else ffn(hidden, f.count("intermediate_size"))
        layers.append(
            Layer(
                (*mixer, *network, *norm(hidden, copies=2)),
                kind="moe" if sparse else "dense",
                kv_values=latent,
                score_dims=scores,
                experts=experts if sparse else 0,
                experts_per_token=experts_per_token(f, experts) if sparse else 0,
            )
        )
    vocab = f.count("vocab_size")
    head = (*norm(hidden), *linear("head", hidden, vocab))
    tied = f.flag("tie_word_embeddings", False)
    return Shape(hidden, tuple(layers), linear("embed", hidden, vocab), head, tied)


def latent_attention(f: Fields, hidden: int, heads: int) -> tuple[Part, ...]:
    """Return the projections of multi-head latent attention."""
    nope, rope, value = f.count("qk_nope_head_dim"), f.count("qk_rope_head_dim"), f.count("v_head_dim")
    rank, bias = f.count("kv_lora_rank"), f.flag("attention_bias", False)
    if "q_lora_rank" in f:
        low = f.count("q_lora_rank")
        query = (*linear("q", hidden, low, bias=bias), *norm(low), *linear("q", low, heads * (nope + rope)))
    else:
        query = linear("q", hidden, heads * (nope + rope))
    return (
        *query,
        *linear("kv_a", hidden, rank + rope, bias=bias),
        *norm(rank),
        *linear("kv_b", rank, heads * (nope + value)),
        *linear("o", heads * value, hidden, bias=bias),
    )


def _moe(f: Fields, hidden: int, experts: int) -> tuple[Part, ...]:
    inner = f.count("moe_intermediate_size")
    shared = f.count("n_shared_experts", "num_shared_experts", default=0, zero=True)
    # V3 chooses experts with a bias per expert that training balances (key topk_method: noaux_tc).
    balanced = (
        f.text("topk_method", "noaux_tc" if f.text("model_type") in ("deepseek_v3", "kimi_k2") else "") == "noaux_tc"
    )
    return (
        *linear("router", hidden, experts, bias=balanced),
        *ffn(hidden, inner, copies=experts, routed=True),
        *(ffn(hidden, inner * shared) if shared else ()),
    )
