"""What is special about some architectures: caches by layer, states, shared tensors, extras, parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from placement.question.model import Model
from placement.readers.models.config import read_config

from .test_library import NEXT

DEEPSEEK_V32 = {
    "architectures": ["DeepseekV32ForCausalLM"],
    "model_type": "deepseek_v32",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "n_group": 8,
    "topk_group": 4,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "index_head_dim": 128,
    "index_n_heads": 64,
    "index_topk": 2048,
    "vocab_size": 129280,
    "tie_word_embeddings": False,
}
GEMMA_4 = {
    "architectures": ["Gemma4ForConditionalGeneration"],
    "model_type": "gemma4",
    "tie_word_embeddings": True,
    "text_config": {
        "model_type": "gemma4_text",
        "hidden_size": 2816,
        "intermediate_size": 2112,
        "num_hidden_layers": 30,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "num_global_key_value_heads": 2,
        "head_dim": 256,
        "global_head_dim": 512,
        "attention_k_eq_v": True,
        "enable_moe_block": True,
        "num_experts": 128,
        "top_k_experts": 8,
        "moe_intermediate_size": 704,
        "hidden_size_per_layer_input": 0,
        "num_kv_shared_layers": 0,
        "sliding_window": 1024,
        "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5,
        "vocab_size": 262144,
        "tie_word_embeddings": True,
    },
    "vision_config": {"model_type": "gemma4_vision"},
}
MLLAMA = {
    "architectures": ["MllamaForConditionalGeneration"],
    "model_type": "mllama",
    "text_config": {
        "model_type": "mllama_text_model",
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 100,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "cross_attention_layers": list(range(3, 100, 5)),
        "tie_word_embeddings": False,
    },
}
MINIMAX_M3 = {
    # The class as its publisher calls it; transformers has it under another name.
    "architectures": ["MiniMaxM3SparseForConditionalGeneration"],
    "model_type": "minimax_m3_vl",
    "text_config": {
        "hidden_size": 6144,
        "intermediate_size": 3072,
        "dense_intermediate_size": 12288,
        "num_hidden_layers": 60,
        "shared_intermediate_size": 3072,
        "num_attention_heads": 64,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "vocab_size": 200064,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
        "n_shared_experts": 1,
        "moe_layer_freq": [0] * 3 + [1] * 57,
        "use_qk_norm": True,
        "tie_word_embeddings": False,
    },
}


def read(config: dict[str, Any]) -> Model:
    """The model of a configuration, not from a file of an earlier reading."""
    return read_config({**config, "_name_or_path": "any"})


def cache(model: Model, tokens: int) -> float:
    """Bytes of the cache of one sequence."""
    return sum(block.kv_bytes(tokens) for block in model.blocks)


@pytest.mark.slow
def test_sparse_attention_keeps_the_keys_of_its_index() -> None:
    """DeepSeek-V3.2: 1,152 B of latent and 132 B of index per layer and token, as vLLM keeps them."""
    model = read(DEEPSEEK_V32)
    assert {block.kv_bytes_per_token for block in model.blocks[1:-1]} == {1152 + 132}
    assert cache(model, 32_768) == pytest.approx(2.57e9, rel=0.002)


@pytest.mark.slow
def test_experts_beside_a_dense_network_and_two_shapes_of_cache() -> None:
    """Gemma 4 26B-A4B has 25.23 B parameters; its cache of 32,768 tokens is 0.881 GB; the vision tower is an extra."""
    model = read(GEMMA_4)
    assert model.params == pytest.approx(25.23e9, rel=0.001)
    assert cache(model, 32_768) == pytest.approx(0.881e9, rel=0.001)
    assert {extra.kind for extra in model.extras} == {"vision"}
    assert [part.name for part in model.blocks[1].parts] == ["attention", "ffn", "experts"]


@pytest.mark.slow
def test_layers_that_attend_to_an_image_hold_no_text() -> None:
    """Llama 3.2 90B Vision: 80 of 100 layers cache the text, 4,096 B each per token; the others are named."""
    model = read(MLLAMA)
    assert model.n_blocks == 102
    assert sum(block.kv_bytes_per_token for block in model.blocks) == 327_680
    assert any("20 layers attend to images only" in note for note in model.notes)


def test_dense_layers_before_sparse_ones() -> None:
    """MiniMax M3: 426.2 B in the language model; its first three layers are dense, 0.333 B (0.667 GB) each."""
    model = read(MINIMAX_M3)
    assert model.params == pytest.approx(426.2e9, rel=0.001)
    assert [block.kind for block in model.blocks[1:6]] == ["dense"] * 3 + ["moe"] * 2
    assert model.blocks[1].weight_bytes == pytest.approx(0.667e9, rel=0.002)


def test_layers_without_attention_have_a_state_that_does_not_grow() -> None:
    """Three of four layers of Qwen3-Next keep a convolution and a matrix per head; the fourth keeps keys and values."""
    model = read(NEXT)
    linear, full = model.blocks[1:4], model.blocks[4]
    convolution, matrix = (2 * 2 * 8 + 4 * 8) * 4, 4 * 8 * 8
    assert {block.kv_bytes(64) for block in linear} == {block.kv_bytes(9000) for block in linear}
    assert linear[0].state_bytes in (2 * convolution + 4 * matrix, 2 * convolution + 2 * matrix)
    assert linear[0].attention_flops_per_token == 0
    assert linear[0].flops_per_token > full.flops_per_token * 0.5
    assert (full.state_bytes, full.kv_bytes_per_token) == (0, 2 * 2 * 16 * 2)
    assert full.attention_flops_per_token == 2 * 4 * 2 * 16


def test_a_block_used_twice_is_held_once() -> None:
    """Zamba 2 has one attention block for several layers: its bytes count once, and one node holds these layers."""
    model = read(
        {
            "architectures": ["Zamba2ForCausalLM"],
            "model_type": "zamba2",
            "hidden_size": 64,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "intermediate_size": 96,
            "vocab_size": 128,
            "mamba_d_state": 8,
            "mamba_headdim": 16,
            "n_mamba_heads": 8,
            "mamba_ngroups": 1,
            "num_mem_blocks": 1,
            "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid", "mamba", "hybrid"],
        }
    )
    tie = next(tie for tie in model.ties if not tie.copies)
    assert tie.blocks == (2, 4, 6)
    assert model.blocks[2].params - model.blocks[4].params == tie.shared_bytes / 2
    assert sum(model.resident_bytes()) < sum(block.weight_bytes for block in model.blocks)


def test_layers_that_read_the_cache_of_another_are_not_cut_off_it() -> None:
    """The last layers of Gemma 3n keep nothing of their own: no boundary between them and the layers that they read."""
    model = read(
        {
            "architectures": ["Gemma3nForCausalLM"],
            "model_type": "gemma3n_text",
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 10,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": 128,
            "vocab_size_per_layer_input": 128,
            "hidden_size_per_layer_input": 8,
            "num_kv_shared_layers": 4,
            "laurel_rank": 8,
            "sliding_window": 32,
            "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 2,
            "activation_sparsity_pattern": [0.0] * 10,
        }
    )
    kept = [block.kv_bytes_per_token > 0 for block in model.blocks[1:-1]]
    assert kept == [True] * 6 + [False] * 4
    assert model.forbidden_cuts == tuple(range(6, 11))
    # Four streams and the embeddings of the layers to come pass between layers.
    assert model.blocks[1].activation_bytes_per_token == (4 * 64 + 9 * 8) * 2


def test_an_encoder_and_its_decoder() -> None:
    """A T5 configuration: the encoder keeps nothing, the decoder its own text and that of the encoder."""
    model = read(
        {
            "architectures": ["T5ForConditionalGeneration"],
            "model_type": "t5",
            "is_encoder_decoder": True,
            "d_model": 64,
            "d_kv": 16,
            "d_ff": 96,
            "num_heads": 4,
            "num_layers": 3,
            "num_decoder_layers": 2,
            "vocab_size": 128,
        }
    )
    assert [block.kv_bytes_per_token for block in model.blocks[1:-1]] == [0, 0, 0, *[2 * 2 * 4 * 16 * 2] * 2]
    assert any("twice in a decoder" in note for note in model.notes)


@pytest.mark.parametrize("config", [NEXT, GEMMA_4], ids=["qwen3_next", "gemma4"])
def test_parts_add_up(config: Any) -> None:
    """Bytes, operations and cache of the parts are those of the block, with other bytes of weights as well."""
    for block in read(config).blocks[1:-1]:
        for whole in (block, block.weighing(3e9, 1e9)):
            assert sum(part.weight_bytes for part in whole.parts) == pytest.approx(whole.weight_bytes)
        assert sum(part.flops_per_token for part in block.parts) == pytest.approx(block.flops_per_token)
        assert sum(part.state_bytes for part in block.parts) == block.state_bytes
        assert sum(part.kv_bytes_per_token for part in block.parts) == block.kv_bytes_per_token
        experts = [part for part in block.parts if part.name == "experts"]
        assert [part.weight_bytes for part in experts] == [block.expert_bytes] * bool(block.experts)
        assert block.parts[-1].handed_on_bytes_per_token == block.activation_bytes_per_token


def test_extras_lie_where_their_block_lies() -> None:
    """A tower's bytes are in the memory that its block takes, and in no block's weights."""
    model = read(GEMMA_4)
    held = sum(extra.weight_bytes for extra in model.extras)
    assert model.resident_bytes()[0] == model.blocks[0].weight_bytes + held
    assert model.weight_bytes == replace(model, extras=()).weight_bytes
