"""The formulas are held equal to the modules of transformers, block by block: they serve nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest

from placement.question.model import Model
from placement.readers.models.build import build_model
from placement.readers.models.formulas import FAMILIES, from_formulas
from placement.readers.models.library.language import read_library
from placement.readers.models.parts import Shape
from placement.readers.models.quantization import quantization

NOT_IN_TRANSFORMERS = {"qwen", "nemotron-nas"}
"""Held to published totals instead (below, and with the presets)."""

GROUPED = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 160,
    "head_dim": 16,
}
PLAIN = {key: value for key, value in GROUPED.items() if key != "head_dim"}
EQUAL = {key: value for key, value in PLAIN.items() if key != "num_key_value_heads"}
EXPERTS = {"moe_intermediate_size": 24, "num_experts_per_tok": 2}
LATENT = {
    **PLAIN,
    **EXPERTS,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 12,
    "n_group": 2,
    "topk_group": 1,
    "num_key_value_heads": 8,
}
SIZES: Mapping[str, list[dict[str, Any]]] = {
    "llama": [GROUPED, {**GROUPED, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}],
    "mistral": [{**GROUPED, "sliding_window": 32}, {**GROUPED, "sliding_window": None}],
    "mixtral": [{**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}],
    "qwen2": [
        {**GROUPED, "use_sliding_window": False},
        {**GROUPED, "use_sliding_window": True, "sliding_window": 32, "max_window_layers": 2},
    ],
    "qwen2_moe": [
        {
            **PLAIN,
            **EXPERTS,
            "num_experts": 6,
            "shared_expert_intermediate_size": 40,
            "decoder_sparse_step": 2,
            "mlp_only_layers": [3],
        }
    ],
    "qwen3": [GROUPED, {**GROUPED, "attention_bias": True}],
    "qwen3_moe": [{**GROUPED, **EXPERTS, "num_experts": 6, "mlp_only_layers": [1], "decoder_sparse_step": 1}],
    "gemma": [GROUPED],
    "gemma2": [{**GROUPED, "sliding_window": 32}],
    "gemma3_text": [{**GROUPED, "sliding_window": 32, "num_hidden_layers": 7}],
    "phi3": [{**PLAIN, "sliding_window": 32, "pad_token_id": 0}],
    "gpt_oss": [{**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 32}],
    "smollm3": [{**PLAIN, "pad_token_id": 0}],
    "cohere": [PLAIN],
    "cohere2": [{**GROUPED, "sliding_window": 32}],
    "glm4_moe": [
        {
            **GROUPED,
            **EXPERTS,
            "n_routed_experts": 8,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
            "use_qk_norm": True,
            "attention_bias": True,
        }
    ],
    "gpt_neox": [EQUAL],
    "phi": [PLAIN],
    "starcoder2": [
        {**PLAIN, "sliding_window": 32},
        {**PLAIN, "use_bias": False},
    ],
    "nemotron": [GROUPED],
    "deepseek_v2": [{**LATENT, "q_lora_rank": None}, {**LATENT, "q_lora_rank": 24, "n_shared_experts": 2}],
    "deepseek_v3": [{**LATENT, "q_lora_rank": 24}],
    "kimi_k2": [{**LATENT, "q_lora_rank": 24, "architectures": ["DeepseekV3ForCausalLM"]}],
    "llama4_text": [
        {
            **GROUPED,
            "intermediate_size_mlp": 80,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 32,
            "no_rope_layers": [1, 1, 1, 0],
        }
    ],
    "gpt2": [{"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 160, "n_positions": 40}],
    "bloom": [{"hidden_size": 64, "n_layer": 3, "n_head": 4, "vocab_size": 160}],
    "opt": [
        {
            "hidden_size": 64,
            "ffn_dim": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "vocab_size": 160,
            "max_position_embeddings": 40,
            "word_embed_proj_dim": 64,
        }
    ],
    "falcon": [
        {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 160, "multi_query": True},
        {
            "hidden_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "vocab_size": 160,
            "num_kv_heads": 2,
            "new_decoder_architecture": True,
        },
        {
            "hidden_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "vocab_size": 160,
            "bias": True,
            "parallel_attn": False,
            "multi_query": False,
        },
    ],
}

FIGURES = (
    "name",
    "kind",
    "weight_bytes",
    "kv_bytes_per_token",
    "kv_window_tokens",
    "state_bytes",
    "kept_bytes_per_token",
    "activation_bytes_per_token",
    "attention_flops_per_token",
    "expert_bytes",
    "experts",
    "experts_per_token",
    "params",
    "lookup",
    "last_token_only",
)


def built(shape: object) -> Model:
    """The model of a shape in 16 bits."""
    assert isinstance(shape, Shape), shape
    return build_model(shape, "any", quantization("bfloat16"), None)


def test_every_family_is_proven() -> None:
    """No formula serves without a case here."""
    assert set(SIZES) | NOT_IN_TRANSFORMERS == set(FAMILIES)


@pytest.mark.parametrize(
    ("family", "sizes"), [(family, sizes) for family, cases in SIZES.items() for sizes in cases], ids=str
)
def test_formula_equals_the_module(family: str, sizes: Any) -> None:
    """Bytes, caches, windows, operations, experts and what passes between: all as the module of transformers has them.

    An offset that chooses experts is a buffer there, and a parameter of a router here. Falcon's grouped heads are
    cached once for each query head there, and once a group here, as runtimes do. No other difference is left.
    """
    config = {"model_type": family, **sizes}
    told, true = built(from_formulas(config)), built(read_library(config))
    assert told.n_blocks == true.n_blocks
    for ours, theirs in zip(told.blocks, true.blocks, strict=True):
        offset = ours.experts if family in ("deepseek_v3", "kimi_k2", "glm4_moe") else 0
        for figure in FIGURES:
            left = {"params": offset, "weight_bytes": 2 * offset}.get(figure, 0)
            value, expected = getattr(ours, figure), getattr(theirs, figure)
            if figure == "kv_bytes_per_token" and sizes.get("new_decoder_architecture"):
                expected *= sizes["num_kv_heads"] / sizes["num_attention_heads"]
            assert (value - left if left else value) == expected, f"{ours.name}: {figure}"
        assert ours.flops_per_token == pytest.approx(theirs.flops_per_token)
    assert [tie.blocks for tie in told.ties] == [tie.blocks for tie in true.ties]
    assert [tie.shared_bytes for tie in told.ties] == [tie.shared_bytes for tie in true.ties]


def test_qwen_1_counts_gate_and_up_together() -> None:
    """Qwen-72B has 72.29 B parameters (as published with it), a layer 1.745 GB in 16 bits."""
    model = built(
        from_formulas(
            {
                "model_type": "qwen",
                "architectures": ["QWenLMHeadModel"],
                "hidden_size": 8192,
                "kv_channels": 128,
                "intermediate_size": 49152,
                "num_attention_heads": 64,
                "num_hidden_layers": 80,
                "no_bias": True,
                "vocab_size": 152064,
                "tie_word_embeddings": False,
            }
        )
    )
    assert model.params == pytest.approx(72.29e9, rel=2e-4)
    assert model.blocks[1].weight_bytes == pytest.approx(1.745e9, rel=1e-3)
