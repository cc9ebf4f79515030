"""config.json in, blocks out: sizes, operations and KV bytes of every architecture, and errors for people."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.catalog.presets import models
from placement.errors import InputError
from placement.readers.models.build import build_model
from placement.readers.models.config import read_config
from placement.readers.models.formulas import FAMILIES, NotUnderstood, from_formulas
from placement.readers.models.quantization import quantization
from placement.readers.models.read import read_model

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "tie_word_embeddings": False,
}
MOE = {
    **LLAMA,
    "model_type": "qwen2_moe",
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 24,
    "mlp_only_layers": [1],
    "decoder_sparse_step": 2,
}
GEMMA3 = {
    "model_type": "gemma3",
    "vision_config": {"hidden_size": 1152},
    "text_config": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 7, "sliding_window": 16},
}


def test_llama_block_by_hand() -> None:
    """A layer's bytes, operations and cache follow from its shape, counted here by hand."""
    model = read_config(LLAMA)
    assert [block.name for block in model.blocks] == ["embed", "layer.0", "layer.1", "layer.2", "layer.3", "head"]
    matrices = 2 * 64 * 64 + 2 * 64 * 16 + 3 * 64 * 160
    layer = model.blocks[1]
    assert layer.params == matrices + 2 * 64
    assert layer.weight_bytes == 2 * layer.params
    assert layer.flops_per_token == 2 * matrices
    assert layer.kv_bytes_per_token == 2 * 2 * 8 * 2
    assert layer.attention_flops_per_token == 4 * 8 * 8
    assert layer.activation_bytes_per_token == 64 * 2


def test_embedding_is_looked_up_and_head_sees_the_last_token() -> None:
    """The first block is read by row; the last one hands on a token id of 4 bytes."""
    embed, head = read_config(LLAMA).blocks[0], read_config(LLAMA).blocks[-1]
    assert embed.lookup
    assert embed.flops_per_token == 0
    assert head.last_token_only
    assert head.activation_bytes_per_token == 4
    assert head.flops_per_token == 2 * 64 * 100


def test_tied_head_has_bytes_but_no_parameters_of_its_own() -> None:
    """Tied weights are resident on both blocks and counted once as parameters."""
    tied = read_config({**LLAMA, "tie_word_embeddings": True})
    free = read_config(LLAMA)
    assert tied.blocks[-1].weight_bytes == free.blocks[-1].weight_bytes
    assert free.params - tied.params == 64 * 100
    assert tied.ties[0].blocks == (0, 5)
    assert tied.ties[0].copies
    assert not free.ties


def test_float32_doubles_activations_and_cache() -> None:
    """A float32 model hands on and caches 4-byte numbers, unless the cache has a format of its own."""
    model = read_config(LLAMA, weights="float32")
    assert model.blocks[1].activation_bytes_per_token == 64 * 4
    assert model.blocks[1].kv_bytes_per_token == 2 * 2 * 8 * 4
    assert read_config(LLAMA, weights="float32", kv_dtype="fp8").blocks[1].kv_bytes_per_token == 2 * 2 * 8
    assert model.compute_dtype == "float32"


def test_experts_only_where_the_configuration_puts_them() -> None:
    """Every second layer has experts, save the dense ones that are listed; shared experts are not routed."""
    model = read_config(MOE)
    assert [block.kind for block in model.blocks[1:-1]] == ["dense", "dense", "dense", "moe"]
    layer = model.blocks[4]
    routed = 6 * 3 * 64 * 16
    assert layer.expert_bytes == 2 * routed
    assert (layer.experts, layer.experts_per_token) == (6, 2)
    attention = 2 * 64 * 64 + 2 * 64 * 16
    active = attention + routed * 2 // 6 + 3 * 64 * 24 + 64 + 6 * 64
    assert layer.flops_per_token == pytest.approx(2 * active)


def test_nested_configuration_with_defaults_and_alternating_windows() -> None:
    """Gemma 3 leaves keys out, nests the language model, and every sixth layer sees the whole context."""
    model = read_config(GEMMA3)
    assert [block.kv_window_tokens for block in model.blocks[1:-1]] == [16] * 5 + [None, 16]
    assert model.blocks[1].kv_bytes_per_token == 2 * 4 * 256 * 2
    assert [(extra.kind, extra.block) for extra in model.extras] == [("vision", 0), ("vision", 0)]
    assert any("vision_tower (vision) lie in the memory of the node that holds embed" in note for note in model.notes)


def test_layer_types_decide_windows() -> None:
    """The list of layer types wins over any pattern."""
    kinds = ["full_attention", "sliding_attention", "full_attention", "full_attention"]
    model = read_config({**LLAMA, "model_type": "gemma2", "layer_types": kinds, "sliding_window": 8})
    assert [block.kv_window_tokens for block in model.blocks[1:-1]] == [None, 8, None, None]


def test_unused_window_of_qwen() -> None:
    """`use_sliding_window: false` switches the window off; with true it begins at max_window_layers."""
    config = {**LLAMA, "model_type": "qwen2", "sliding_window": 8, "use_sliding_window": False, "max_window_layers": 3}
    assert {block.kv_window_tokens for block in read_config(config).blocks} == {None}
    slides = read_config({**config, "use_sliding_window": True})
    assert [block.kv_window_tokens for block in slides.blocks[1:-1]] == [None, None, None, 8]


def test_latent_attention_caches_the_latent() -> None:
    """DeepSeek-V3 caches 512 + 64 numbers per token and layer; its first three layers are dense."""
    model = read_model("deepseek-v3")
    assert {block.kv_bytes_per_token for block in model.blocks[1:-1]} == {(512 + 64) * 2}
    assert [block.kind for block in model.blocks[1:6]] == ["dense"] * 3 + ["moe"] * 2
    assert model.blocks[1].attention_flops_per_token == 2 * 128 * (128 + 64 + 128)
    active = sum(block.flops_per_token for block in model.blocks) / 2
    assert active == pytest.approx(37e9, rel=0.03)


def test_kv_heads_per_layer() -> None:
    """A list gives each layer its own cache; null stands for a layer without attention."""
    model = read_config({**LLAMA, "num_key_value_heads": [8, 2, None, 1]})
    assert [block.kv_bytes_per_token for block in model.blocks[1:-1]] == [2 * n * 8 * 2 for n in (8, 2, 0, 1)]
    assert model.blocks[3].attention_flops_per_token == 0


def test_pruned_blocks() -> None:
    """Nemotron's block_configs give groups, skipped attention, linear replacements and sizes layer by layer."""
    blocks = [
        {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 2.625}},
        {"attention": {"no_op": True, "n_heads_in_group": None}, "ffn": {"no_op": True, "ffn_mult": None}},
        {"attention": {"replace_with_linear": True}, "ffn": {"replace_with_linear": True}},
        {"attention": {"n_heads_in_group": 8}, "ffn": {"intermediate_size": 32}},
    ]
    config = {k: v for k, v in LLAMA.items() if k not in ("num_key_value_heads", "intermediate_size")}
    model = read_config({**config, "model_type": "nemotron-nas", "num_key_value_heads": None, "block_configs": blocks})
    layers = model.blocks[1:-1]
    assert [layer.kv_bytes_per_token for layer in layers] == [2 * n * 8 * 2 for n in (2, 0, 0, 1)]
    assert layers[0].flops_per_token == 2 * (2 * 64 * 64 + 2 * 64 * 16 + 3 * 64 * 256)
    assert layers[1].flops_per_token == 0


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if transformers were not installed."""
    monkeypatch.setattr("placement.readers.models.config.library_version", lambda: "")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "novel", "n_routed_experts": 4, "ssm_cfg": {"d_state": 16}}, "n_routed_experts, ssm_cfg"),
        ({"attention_gate": True}, "attention_gate"),
        ({"architectures": ["LlamaForCausalLMEagle3"]}, "LlamaForCausalLMEagle3"),
        ({"model_type": None, "architectures": None}, "an unnamed architecture"),
    ],
)
def test_what_is_not_understood_is_never_read_as_llama(change: Any, named: Any, alone: Any) -> None:
    """Without transformers, an unknown architecture, key or class is refused by name, with the extra to install."""
    with pytest.raises(InputError) as caught:
        read_config({**LLAMA, **change})
    assert named in str(caught.value)
    assert "pip install 'llm-placement[torch]'" in str(caught.value)


@pytest.mark.usefixtures("alone")
def test_keys_that_switch_something_off_are_understood() -> None:
    """An unknown key that is null, false or empty changes nothing."""
    off: dict[str, Any] = {"attention_output_gate": False, "index_topk": None, "extra_layers": []}
    assert read_config({**LLAMA, **off}) == read_config(LLAMA)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"num_hidden_layers": -3}, "config.json: num_hidden_layers: expected a positive whole number, got -3"),
        ({"hidden_size": float("nan")}, "config.json: hidden_size: expected a positive whole number, got nan"),
        ({"hidden_size": "64"}, "config.json: hidden_size: expected a positive whole number, got '64'"),
        ({"vocab_size": None}, "config.json: vocab_size: the key is missing"),
        ({"vocab_size": True}, "expected a positive whole number, got True"),
        ({"num_hidden_layers": 10**6}, "expected at most 1000 layers"),
        ({"hidden_size": 10**12}, "up to 1000000000"),
        ({"num_key_value_heads": 3}, "expected a divisor of the 8 attention heads, got 3"),
        ({"num_key_value_heads": [1, 2]}, "expected 4 entries, one per layer, got 2"),
        ({"tie_word_embeddings": "no"}, "config.json: tie_word_embeddings: expected true or false, got 'no'"),
        ({"layer_types": ["linear_attention"] * 4}, "layer_types[0]"),
        ({"model_type": 7}, "config.json: model_type: expected a text, got 7"),
        ({"text_config": 5}, "config.json: text_config: expected an object, got 5"),
        ({"model_type": "novel"}, "'novel' is not"),
        ({"block_configs": [3]}, "block_configs[0]"),
    ],
)
def test_mistakes_are_named(change: Any, expected: Any) -> None:
    """A wrong value is an InputError with the file, the key and the value."""
    with pytest.raises(InputError) as caught:
        read_config({**LLAMA, **change})
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a mapping"),
        ("\xff\xfe", "UTF-8"),
        ("[" * 100_000, "JSON"),
        ('{"a": ' + "9" * 5000 + "}", "JSON"),
    ],
)
def test_broken_files(tmp_path: Path, content: Any, expected: Any) -> None:
    """A broken file is one clear line with its name."""
    path = tmp_path / "config.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=expected) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_big_or_absent_files(tmp_path: Path) -> None:
    """Files over 10 MB are refused before they are read; absent ones are named."""
    path = tmp_path / "config.json"
    path.write_text("{" + " " * 11_000_000 + "}")
    with pytest.raises(InputError, match=r"11\.0 MB"):
        read_config(path)
    with pytest.raises(InputError, match="there is no such file"):
        read_config(tmp_path / "none.json")


def test_name_comes_from_the_folder(tmp_path: Path) -> None:
    """A config.json is called after its folder, unless it says its name."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    assert read_config(folder / "config.json").name == "my-model"
    assert read_config({**LLAMA, "_name_or_path": "org/other"}).name == "other"


def test_stored_quantization_is_noted() -> None:
    """A checkpoint that is stored quantized and planned otherwise is worth a note."""
    config = {**LLAMA, "quantization_config": {"quant_method": "fp8"}}
    assert "fp8" in read_config(config).notes[0]
    assert not read_config(config, weights="fp8").notes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(preset=st.sampled_from(sorted(models())), data=st.data())
def test_any_value_of_any_key_gives_a_model_or_a_clear_error(preset: str, data: Any) -> None:
    """No value of a key of a configuration raises anything but InputError, and no size comes out negative or NaN."""
    config = dict(models()[preset].config)
    extra = ["layer_types", "block_configs", "mlp_only_layers", "sliding_window_pattern", "architectures", "head_dim"]
    config[data.draw(st.sampled_from([*config, *extra]))] = data.draw(JSON)
    try:
        shape = from_formulas(config)
    except InputError:
        return
    if isinstance(shape, NotUnderstood):
        return
    model = build_model(shape, "any", quantization("bfloat16"), None)
    for block in model.blocks:
        assert 0 <= block.expert_bytes <= block.weight_bytes < float("inf")
        assert 0 <= block.flops_per_token < float("inf")
        assert block.kv_bytes_per_token >= 0


def test_every_family_has_a_preset() -> None:
    """Each known architecture is exercised by the catalog, apart from aliases of the Llama reader."""
    used = {str(preset.config["model_type"]) for preset in models().values()}
    assert set(FAMILIES) - {"gemma", "smollm3", "cohere2", "glm4_moe", "nemotron", "nemotron-nas", "qwen"} <= used


SMALL = {**LLAMA, "num_hidden_layers": 6, "intermediate_size": 96, "vocab_size": 128}
SPARSE = {
    **SMALL,
    "moe_intermediate_size": 32,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 2,
    "attention_bias": True,
    "use_qk_norm": True,
    "head_dim": 16,
}
PLAIN_FALCON = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "bias": True,
    "parallel_attn": False,
    "multi_query": False,
    "vocab_size": 128,
}
PROJECTED_OPT = {
    "hidden_size": 64,
    "ffn_dim": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "word_embed_proj_dim": 32,
    "do_layer_norm_before": False,
    "vocab_size": 128,
    "max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("family", "config", "count"),
    [
        ("gemma", {**SMALL, "head_dim": 16, "tie_word_embeddings": True}, 242_496),
        ("smollm3", {**SMALL, "tie_word_embeddings": True}, 181_056),
        ("cohere2", {**SMALL, "tie_word_embeddings": True}, 180_672),
        ("nemotron", SMALL, 153_216),
        ("glm4_moe", SPARSE, 401_568),
        ("falcon", PLAIN_FALCON, 108_288),
        ("opt", PROJECTED_OPT, 71_104),
        (
            "llama4_text",
            {
                **SMALL,
                "intermediate_size_mlp": 80,
                "num_local_experts": 4,
                "num_experts_per_tok": 1,
                "interleave_moe_layer_step": 2,
            },
            401_984,
        ),
    ],
)
def test_counts_of_small_models(family: str, config: Any, count: int) -> None:
    """Parameters of small models as transformers 5.24 builds them, for architectures that the catalog leaves out."""
    assert read_config({**config, "model_type": family}).params == count


def test_reading_imports_no_heavy_package() -> None:
    """A preset is read without torch, gguf or transformers."""
    code = (
        "import sys; from placement.readers.models.read import read_model; read_model('llama-3.1-8b');"
        "print([m for m in ('torch', 'gguf', 'transformers', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_readers_stand_in_their_rooms() -> None:
    """`placement.read_model` and `placement.readers.models.read_model` are one function; so are those of clusters."""
    import placement
    from placement.readers import cluster, models

    assert models.read_model is placement.read_model
    assert cluster.read_request is placement.read_request
    for room in (cluster, models):
        with pytest.raises(AttributeError, match="nonsense"):
            _ = room.nonsense
