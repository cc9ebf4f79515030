"""What a checkpoint says of its own format: every method, exceptions by module, and who wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placement.catalog.presets import models
from placement.errors import InputError
from placement.question.model import Model
from placement.readers.models.config import read_config
from placement.readers.models.module_names import name_list
from placement.readers.models.read import read_model
from placement.readers.models.stored import find

LLAMA: dict[str, Any] = dict(models()["llama-3.1-8b"].config)
MOE: dict[str, Any] = dict(models()["qwen3-30b-a3b"].config)
WIDE = 16.0


def matrix_bits(model: Model, wide: Model, layer: int = 1) -> float:
    """Bits per weight of a layer of Llama 3.1 8B, norms (in 16 bits) taken off."""
    norms = 2 * 4096 * 2.0
    return (model.blocks[layer].weight_bytes - norms) / (wide.blocks[layer].weight_bytes - norms) * 16


def group(**weights: Any) -> dict[str, Any]:
    """Return a statement of compressed-tensors with one scheme for every linear map."""
    scheme = {"targets": ["Linear"], "weights": weights}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": scheme}, "ignore": ["lm_head"]}


METHODS: dict[str, tuple[dict[str, Any], float]] = {
    "GPTQ keeps zero points in symmetric files": (
        {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True},
        4 + 20 / 128,
    ),
    "GPTQ in 8 bits, groups of 32": ({"quant_method": "gptq", "bits": 8, "group_size": 32, "sym": False}, 8 + 24 / 32),
    "AWQ": ({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True}, 4 + 20 / 64),
    "AutoRound": ({"quant_method": "auto-round", "bits": 2, "group_size": 64, "sym": True}, 2 + 18 / 64),
    "FP8 in blocks": ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + 32 / 16384),
    "FP8": ({"quant_method": "fp8"}, 8.0),
    "int4 in groups of 32": (
        group(num_bits=4, type="int", group_size=32, strategy="group", symmetric=True),
        4 + 16 / 32,
    ),
    "int4 with zero points": (
        group(num_bits=4, type="int", group_size=128, strategy="group", symmetric=False),
        4 + 20 / 128,
    ),
    "FP8 in blocks, by compressed-tensors": (
        group(num_bits=8, type="float", strategy="block", block_structure=[128, 128]),
        8 + 32 / 16384,
    ),
    "NVFP4": (group(num_bits=4, type="float", group_size=16, strategy="tensor_group"), 4.5),
    "MXFP4": (group(num_bits=4, type="float", group_size=32, strategy="group"), 4.25),
    "ModelOpt NVFP4": ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}, 4.5),
    "Quark MXFP4": (
        {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}, "exclude": ["lm_head"]},
        4.25,
    ),
    "bitsandbytes nf4": (
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
        4 + 8 / 64 + 32 / (64 * 256),
    ),
    "bitsandbytes fp4, one quantization": ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, 4 + 32 / 64),
    "HQQ": (
        {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}},
        4 + 32 / 64,
    ),
    "torchao": (
        {
            "quant_method": "torchao",
            "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}},
        },
        4 + 20 / 64,
    ),
}


@pytest.mark.parametrize(("stated", "bits"), METHODS.values(), ids=list(METHODS))
def test_methods(stated: dict[str, Any], bits: float) -> None:
    """The layers have the bits of the stated layout; embedding and head stay in 16; the plan says what was taken."""
    wide = read_config(LLAMA)
    model = read_config({**LLAMA, "quantization_config": stated})
    assert matrix_bits(model, wide) == pytest.approx(bits, rel=1e-9)
    assert model.blocks[0].weight_bytes == wide.blocks[0].weight_bytes
    assert model.blocks[-1].weight_bytes == wide.blocks[-1].weight_bytes
    assert any("The checkpoint states" in note for note in model.notes)


def test_a_scale_for_each_row() -> None:
    """A scale of 16 bits per row of 4,096 weights is a 256th of a bit per weight."""
    model = read_config({**LLAMA, "quantization_config": group(num_bits=8, type="float", strategy="channel")})
    assert 8.0 < matrix_bits(model, read_config(LLAMA)) < 8.0 + 16 / 4096


def test_mlx_quantizes_everything_and_has_exceptions() -> None:
    """MLX: groups with scale and bias in every matrix, other bits for the modules that it names, none for `false`."""
    stated = {"group_size": 64, "bits": 4, "model.layers.1.mlp.down_proj": {"group_size": 32, "bits": 8}}
    wide, model = read_config(LLAMA), read_config({**LLAMA, "quantization": stated})
    assert matrix_bits(model, wide) == pytest.approx(4.5)
    assert model.blocks[0].weight_bytes == pytest.approx(wide.blocks[0].weight_bytes * 4.5 / 16)
    down = 4096 * 14336
    assert model.blocks[2].weight_bytes - model.blocks[1].weight_bytes == pytest.approx(down * (9 - 4.5) / 8)
    kept = read_config({**LLAMA, "quantization": {"group_size": 64, "bits": 4, "lm_head": False}})
    assert kept.blocks[-1].weight_bytes == wide.blocks[-1].weight_bytes


def test_routed_experts_alone() -> None:
    """Kimi K2.5's list: attention, shared experts and dense layers in 16 bits, routed experts in groups of 32.

    594.2 GB of language model follow from the published shapes (https://huggingface.co/moonshotai/Kimi-K2.5).
    """
    ignored = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]
    stated = {**group(num_bits=4, type="int", group_size=32, strategy="group", symmetric=True), "ignore": ignored}
    text = {**models()["kimi-k2"].config, "quantization_config": stated}
    model = read_config({"model_type": "kimi_k25", "text_config": text})
    assert model.weight_bytes == pytest.approx(594.2e9, rel=2e-4)
    assert model.blocks[1].weight_bytes == read_config(text, weights="bfloat16").blocks[1].weight_bytes
    assert model.weights == "int4_g32"


def test_fp8_beside_the_configuration(tmp_path: Path) -> None:
    """hf_quant_config.json of Llama 3.1 70B: weights in FP8 but for the head, and a cache in FP8: 72.66 and 5.37 GB."""
    (tmp_path / "config.json").write_text(json.dumps(dict(models()["llama-3.1-70b"].config)))
    stated = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": stated}))
    model = read_model(tmp_path / "config.json")
    assert model.weight_bytes == pytest.approx(72.66e9, rel=1e-4)
    assert sum(block.kv_bytes(32768) for block in model.blocks) == pytest.approx(5.369e9, rel=1e-3)


def test_what_the_user_asks_for_wins() -> None:
    """A stated format of weights or cache wins over the checkpoint's, and a note says what was stored."""
    stated = {"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "ignore": []}
    model = read_config({**LLAMA, "quantization_config": stated}, weights="bfloat16")
    assert model.weight_bytes == read_config(LLAMA).weight_bytes
    assert model.blocks[1].kv_bytes_per_token == read_config(LLAMA).blocks[1].kv_bytes_per_token
    assert any("stored as modelopt NVFP4" in note and "as asked" in note for note in model.notes)
    cache = read_config({**LLAMA, "quantization_config": stated}, kv_dtype="bfloat16")
    assert cache.weights == "nvfp4"
    assert cache.blocks[1].kv_bytes_per_token == read_config(LLAMA).blocks[1].kv_bytes_per_token


def test_modelopt_lists_by_name_and_by_glob() -> None:
    """Modules named by glob or by prefix stay wide, the others do not."""
    stated = {"quant_algo": "NVFP4", "ignore": ["lm_head", "model.layers.0.self_attn*", "model.layers.1.*"]}
    wide = read_config(LLAMA)
    model = read_config({**LLAMA, "quantization_config": stated})
    attention = 4096 * 4096 * 2 + 4096 * 1024 * 2
    first = model.blocks[1].weight_bytes - model.blocks[3].weight_bytes
    assert first == pytest.approx(attention * (16 - 4.5) / 8)
    assert model.blocks[2].weight_bytes == wide.blocks[2].weight_bytes


def test_modelopt_mixed_precision() -> None:
    """Each listed module has its own format; what is not listed stays in 16 bits."""
    layers = {f"model.layers.0.mlp.{name}_proj": {"quant_algo": "NVFP4"} for name in ("gate", "up", "down")}
    stated = {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    wide, model = read_config(LLAMA), read_config({**LLAMA, "quantization_config": stated})
    saved = wide.blocks[1].weight_bytes - model.blocks[1].weight_bytes
    assert saved == pytest.approx(3 * 4096 * 14336 * (16 - 4.5) / 8)
    assert model.blocks[2].weight_bytes == wide.blocks[2].weight_bytes


def test_gptq_rules_for_single_modules() -> None:
    """GPTQ's `dynamic`: `-:` leaves modules out, `+:` gives them other bits."""
    rules = {r"-:model\.layers\.0\..*": {}, r"+:model\.layers\.1\..*": {"bits": 8, "group_size": 32}}
    stated = {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": rules}
    wide, model = read_config(LLAMA), read_config({**LLAMA, "quantization_config": stated})
    assert [round(matrix_bits(model, wide, layer), 6) for layer in (1, 2, 3)] == [16.0, 8.75, 4.15625]


def test_experts_of_mxfp4() -> None:
    """gpt-oss's own statement: experts in MXFP4, everything else in 16 bits."""
    config = {**models()["gpt-oss-20b"].config, "quantization_config": {"quant_method": "mxfp4"}}
    assert read_config(config).blocks == read_config(config, weights="mxfp4").blocks


@pytest.mark.parametrize(
    "stated", [{"quant_method": "vptq"}, {"quant_method": "modelopt", "quant_algo": "NEW"}, "vptq"]
)
def test_unknown_methods_are_named(stated: Any) -> None:
    """A method that is not understood is sized as 16 bits, and the plan says so."""
    model = read_config({**LLAMA, "quantization_config": stated})
    assert model.weight_bytes == read_config(LLAMA).weight_bytes
    assert any("not known: sized as 16 bits" in note for note in model.notes)


@pytest.mark.parametrize(
    "stated",
    [
        {"quant_method": "gptq", "bits": -1},
        {"quant_method": "awq", "bits": 0},
        {"quant_method": "auto-round", "bits": 100},
        {"bits": -1, "group_size": 128},
        {"quant_method": "gptq", "bits": 0},
        {"quant_method": "gptq", "bits": "four"},
        {"quant_method": "awq", "group_size": 1e9},
        {"quant_method": "fp8", "weight_block_size": [0, 128]},
        {"quant_method": "fp8", "weight_block_size": [128]},
        {"quant_method": "fp8", "weight_block_size": ["a", None]},
        {"quant_method": "gptq", "dynamic": [1]},
        [1],
        4,
        {"quant_method": "hqq", "quant_config": 3},
        {"quant_method": "compressed-tensors", "config_groups": {"g": {"targets": 3, "weights": {"num_bits": 4}}}},
    ],
)
def test_broken_statements_are_one_line(stated: Any) -> None:
    """A statement that makes no sense is refused in one line that names the file."""
    with pytest.raises(InputError) as caught:
        read_config({**LLAMA, "quantization_config": stated})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_costly_expressions_are_dropped_and_named() -> None:
    """An expression that could run for years is not tried; the plan names it."""
    stated = {**group(num_bits=8, type="float"), "ignore": ["lm_head", "re:(.*.*)*x", "re:[", "re:a*b*c*.*.*.*.*d"]}
    model = read_config({**LLAMA, "quantization_config": stated})
    assert any("3 cannot be used" in note for note in model.notes)


@pytest.mark.parametrize(
    ("entry", "name", "held"),
    [
        ("lm_head", "lm_head", True),
        ("model.layers.3.mlp", "layers.3.mlp.gate_proj", True),
        ("model.layers.3.mlp", "layers.30.mlp.gate_proj", False),
        ("mlp.gate_proj", "layers.3.mlp.gate_proj", True),
        ("model.layers.*.self_attn", "layers.3.self_attn.q_proj", True),
        ("re:.*layers\\.1\\..*", "layers.1.mlp.up_proj", True),
        ("re:.*layers\\.1\\..*", "layers.11.mlp.up_proj", False),
        ("*.mlp.gate", "layers.3.mlp.gate", True),
    ],
)
def test_lists_of_modules(entry: str, name: str, held: bool) -> None:
    """A name holds what lies inside of it or ends with it; a glob and an expression hold what they match."""
    assert name_list([entry]).holds([name]) is held


KEYS = [
    "bits",
    "group_size",
    "sym",
    "dynamic",
    "lm_head",
    "zero_point",
    "modules_to_not_convert",
    "extra_config",
    "ignore",
    "weight_block_size",
    "load_in_4bit",
    "config_groups",
    "weights",
    "targets",
    "num_bits",
    "type",
    "strategy",
    "quant_algo",
    "quantized_layers",
    "exclude_modules",
    "kv_cache_scheme",
    "kv_cache_quant_algo",
    "global_quant_config",
    "weight",
    "dtype",
    "quant_type",
    "default",
    "_data",
    "_type",
    "quant_config",
    "weight_quant_params",
    "nbits",
    "mode",
    "expert_dtype",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from([*find.METHODS, "", "novel"]),
    stated=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8),
)
def test_any_statement_is_read_or_refused_in_one_line(method: str, stated: dict[str, Any]) -> None:
    """Whatever a configuration states: bits that make sense, or one line."""
    values = {**LLAMA, "quantization_config": {**stated, "quant_method": method}}
    message, size = "", 1.0
    try:
        size = read_config(values).weight_bytes
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert 0 < size <= 40 * 8.1e9
