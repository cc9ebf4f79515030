"""Checkpoint folders: true bytes per block from headers, and errors that name the file."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from placement.catalog.presets import models
from placement.errors import InputError
from placement.question.model import Extra
from placement.readers.models.config import read_config
from placement.readers.models.measured import Tensor, census, with_true_bytes
from placement.readers.models.names import EMBED, HEAD, block_of, is_routed
from placement.readers.models.read import read_model
from placement.readers.models.safetensors import read_checkpoint

CONFIG = {
    "model_type": "mixtral",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 10,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "tie_word_embeddings": False,
}


def tensors(dtype: Any = np.float16, head: bool = True) -> dict[str, Any]:
    """Return the tensors of a small Mixtral under their usual names."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (10, 8), "model.norm.weight": (8,)}
    if head:
        shapes["lm_head.weight"] = (10, 8)
    for at in range(2):
        layer = f"model.layers.{at}"
        shapes |= {f"{layer}.self_attn.{m}_proj.weight": (8, 8) for m in "qkvo"}
        shapes |= {f"{layer}.{norm}_layernorm.weight": (8,) for norm in ("input", "post_attention")}
        shapes[f"{layer}.block_sparse_moe.gate.weight"] = (2, 8)
        for expert in range(2):
            inner = f"{layer}.block_sparse_moe.experts.{expert}"
            shapes |= {f"{inner}.w1.weight": (12, 8), f"{inner}.w2.weight": (8, 12), f"{inner}.w3.weight": (12, 8)}
    return {name: np.zeros(shape, dtype) for name, shape in shapes.items()}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with config.json and one file of weights."""
    folder = tmp_path / "tiny-mixtral"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(tensors(), folder / "model.safetensors")
    return folder


def test_stored_bytes_equal_the_configuration(checkpoint: Path) -> None:
    """For a plain 16-bit checkpoint the headers and the configuration agree block by block."""
    found, told = read_model(checkpoint), read_config(CONFIG)
    assert [b.weight_bytes for b in found.blocks] == [b.weight_bytes for b in told.blocks]
    assert [b.expert_bytes for b in found.blocks] == [b.expert_bytes for b in told.blocks]
    assert found.blocks[1].flops_per_token == told.blocks[1].flops_per_token
    assert found.name == "tiny-mixtral"
    assert found.weights == "float16"


def test_layers_of_unlike_formats(checkpoint: Path) -> None:
    """A layer stored in 32 bits is twice as large; nothing is assumed alike."""
    mixed = {n: t.astype(np.float32) if ".layers.1." in n else t for n, t in tensors().items()}
    save_file(mixed, checkpoint / "model.safetensors")
    model = read_model(checkpoint)
    assert model.blocks[2].weight_bytes == 2 * model.blocks[1].weight_bytes


def test_head_that_is_not_stored_is_tied(checkpoint: Path) -> None:
    """Without an LM head in the files, the embedding is copied to the head."""
    save_file(tensors(head=False), checkpoint / "model.safetensors")
    model = read_model(checkpoint)
    assert model.ties[0].blocks == (0, 3)
    assert model.ties[0].shared_bytes == 160
    assert model.blocks[-1].weight_bytes == 160 + 16


def test_other_towers_and_prediction_layers_are_left_out(checkpoint: Path) -> None:
    """Vision towers, and layers beyond the last one, are no part of the chain; a note says so."""
    extra: dict[str, Any] = {
        "vision_tower.layers.0.weight": np.zeros((500, 500), np.float32),
        "model.layers.2.x.weight": np.zeros(4),
    }
    plain = read_model(checkpoint).weight_bytes
    save_file({**tensors(), **extra}, checkpoint / "model.safetensors")
    model = read_model(checkpoint)
    assert model.weight_bytes == plain
    assert any("left out" in note for note in model.notes)


def test_narrower_format_plans_as_quantized(checkpoint: Path) -> None:
    """A 16-bit checkpoint can be planned as if quantized while it is loaded."""
    model = read_model(checkpoint, weights="nf4")
    assert model.weights == "nf4"
    assert model.blocks[1].weight_bytes < read_model(checkpoint).blocks[1].weight_bytes
    assert any("float16" in note for note in model.notes)


def test_links_out_of_the_folder_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    """A weight file that is a link to somewhere else is not opened; the cache of huggingface_hub links to its blobs."""
    weights = checkpoint / "model.safetensors"
    secret = tmp_path / "secret"
    weights.rename(secret)
    weights.symlink_to(secret)
    with pytest.raises(InputError, match="got a link to"):
        read_model(checkpoint)
    cache = tmp_path / "models--org--tiny"
    (cache / "blobs").mkdir(parents=True)
    secret.rename(cache / "blobs" / "0123")
    weights.unlink()
    weights.symlink_to("../../blobs/0123")
    (cache / "snapshots").mkdir()
    assert read_model(checkpoint.rename(cache / "snapshots" / "main")).weights == "float16"


def write_index(folder: Path, names: Any, total: Any = None) -> None:
    values = {"metadata": {"total_size": total}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(values))


def test_shards_are_added_up(checkpoint: Path) -> None:
    """An index leads to the files; the sum is that of one file."""
    whole = read_model(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    every = list(tensors().items())
    save_file(dict(every[:7]), checkpoint / "a.safetensors")
    save_file(dict(every[7:]), checkpoint / "b.safetensors")
    write_index(checkpoint, {n: "a.safetensors" if at < 7 else "b.safetensors" for at, (n, _) in enumerate(every)})
    assert read_model(checkpoint).blocks == whole.blocks
    (checkpoint / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"b\.safetensors is missing \(1 of 2 files\)"):
        read_model(checkpoint)


def test_index_alone_keeps_the_shapes(checkpoint: Path) -> None:
    """With no weight file at hand, bytes follow from the shapes; what the index states beyond them is named."""
    (checkpoint / "model.safetensors").unlink()
    told = read_config(CONFIG)
    names = {"model.embed_tokens.weight": "a.safetensors", "model.visual.blocks.0.qkv.weight": "a.safetensors"}
    write_index(checkpoint, names, total=told.weight_bytes + 1e9)
    model = read_model(checkpoint)
    assert model.blocks == told.blocks
    assert any("1.00 GB" in note and "visual" in note for note in model.notes)
    write_index(checkpoint, {"lm_head.weight": "a.safetensors"}, total="big")
    with pytest.raises(InputError, match="total_size"):
        read_model(checkpoint)


def test_index_smaller_than_the_shapes_scales_them(checkpoint: Path) -> None:
    """An index with fewer bytes than 16 bits take is of a narrower format: its total is shared out, with a note."""
    (checkpoint / "model.safetensors").unlink()
    write_index(checkpoint, {"lm_head.weight": "a.safetensors"}, total=1000)
    model = read_model(checkpoint)
    assert model.weight_bytes == pytest.approx(1000)
    assert any("shares of that total" in note for note in model.notes)
    asked = read_model(checkpoint, weights="bfloat16")
    assert asked.weight_bytes == read_config(CONFIG).weight_bytes


def test_index_without_a_language_model_is_refused(checkpoint: Path) -> None:
    """Names that are no language model's are one line."""
    (checkpoint / "model.safetensors").unlink()
    write_index(checkpoint, {"unet.down.0.weight": "a.safetensors"}, total=1000)
    with pytest.raises(InputError, match="no tensor of the language model"):
        read_model(checkpoint)


def test_towers_are_told_by_the_prefix_of_the_layers(checkpoint: Path) -> None:
    """The language model lies under `llm.`, a tower of unknown name (MiniCPM-V's `vpm`) beside it."""
    plain = read_model(checkpoint)
    moved = {f"llm.{name}": tensor for name, tensor in tensors().items()}
    tower = {f"vpm.encoder.layers.{at}.mlp.fc1.weight": np.zeros((30, 30), np.float16) for at in range(2)}
    tower["vpm.embeddings.patch_embedding.weight"] = np.zeros((50, 50), np.float16)
    save_file(moved | tower, checkpoint / "model.safetensors")
    model = read_model(checkpoint)
    assert model.blocks == plain.blocks
    assert any("vpm" in note and "left out" in note for note in model.notes)


def test_stored_extras_have_their_true_bytes() -> None:
    """A tower that the model names has the bytes of the files; one that is not stored is gone; the rest is left out."""
    told = replace(read_config(CONFIG), extras=(Extra("model.visual", "vision", 9.0), Extra("audio", "audio", 9.0)))
    stored = [Tensor(name, float(data.nbytes), "float16") for name, data in tensors().items()]
    more = [Tensor("model.visual.blocks.0.w", 6e8, "float16"), Tensor("other.w", 4e8, "float16")]
    model = with_true_bytes(told, census([*stored, *more], 2), "folder")
    assert model.extras == (Extra("model.visual", "vision", 6e8),)
    assert any("0.60 GB of model.visual" in note for note in model.notes)
    assert any("0.40 GB" in note and "other" in note for note in model.notes)


def plain_tensors(layers: int = 2) -> dict[str, Any]:
    """Return the tensors of a small decoder with grouped queries and biases."""
    shapes = {"llm.model.embed_tokens.weight": (10, 8), "llm.model.norm.weight": (8,), "llm.lm_head.weight": (10, 8)}
    for at in range(layers):
        inner = f"llm.model.layers.{at}"
        shapes |= {f"{inner}.self_attn.{m}_proj.weight": (8, 8) for m in "qo"}
        shapes |= {f"{inner}.self_attn.{m}_proj.weight": (4, 8) for m in "kv"}
        shapes |= {f"{inner}.mlp.{m}_proj.weight": (12, 8) for m in ("gate", "up")}
        shapes |= {f"{inner}.mlp.down_proj.weight": (8, 12), f"{inner}.input_layernorm.weight": (8,)}
    return {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}


UNKNOWN = {"model_type": "minicpmv", "architectures": ["MiniCPMV"], "num_hidden_layers": 2, "num_attention_heads": 2}


def test_a_plain_decoder_is_told_by_its_tensors(tmp_path: Path) -> None:
    """An architecture that nothing knows (MiniCPM-V) is told by names and shapes of the files, where nothing is odd."""
    (tmp_path / "config.json").write_text(json.dumps(UNKNOWN))
    tower = {"vpm.encoder.layers.0.fc1.weight": np.zeros((30, 30), np.float16)}
    save_file(plain_tensors() | tower, tmp_path / "model.safetensors")
    model = read_model(tmp_path)
    layer = model.blocks[1]
    assert layer.weight_bytes == 2 * (2 * 64 + 2 * 32 + 3 * 96 + 8)
    assert layer.kv_bytes_per_token == 2 * (4 + 4)
    assert layer.flops_per_token == 2 * (2 * 64 + 2 * 32 + 3 * 96)
    assert any("MiniCPMV" in note and "stored tensors" in note for note in model.notes)
    assert any("vpm" in note for note in model.notes)


@pytest.mark.parametrize(
    ("config", "more"),
    [
        ({"sliding_window": 128}, {}),
        ({}, {"llm.model.layers.1.mlp.experts.0.up_proj.weight": (4, 8)}),
        ({}, {"llm.model.layers.1.mixer.A_log": (4,)}),
        ({}, {"llm.model.per_layer.weight": (4, 8)}),
        ({"num_hidden_layers": 3}, {}),
    ],
)
def test_odd_tensors_are_not_guessed(tmp_path: Path, config: Any, more: Any) -> None:
    """A window, or any tensor that no plain decoder has, and the unknown architecture is refused."""
    (tmp_path / "config.json").write_text(json.dumps({**UNKNOWN, **config}))
    added = {name: np.zeros(shape, np.float16) for name, shape in more.items()}
    save_file(plain_tensors() | added, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="MiniCPMV"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    "bad",
    ["../up.safetensors", "/etc/passwd", "sub/a.safetensors", "n" * 300, "", "..", ["a.safetensors"], {}, 7, "a\x1b"],
)
def test_index_cannot_leave_the_folder(checkpoint: Path, bad: Any) -> None:
    """File names in an index hold no folders."""
    write_index(checkpoint, {"lm_head.weight": bad})
    with pytest.raises(InputError, match="file name without folders"):
        read_model(checkpoint)


def header(values: Any) -> bytes:
    text = json.dumps(values).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not in the safetensors format"),
        (struct.pack("<Q", 2**60) + b"{}", "not in the safetensors format"),
        (struct.pack("<Q", 3) + b"{]}", "header"),
        (struct.pack("<Q", 3) + b"[1]", "header"),
        (header({"lm_head.weight": 3}), "expected dtype and data_offsets"),
        (header({"lm_head.weight": {"dtype": "F16", "shape": [1], "data_offsets": [0, 99]}}), "outside of the file"),
        (header({"lm_head.weight": {"dtype": "F16", "shape": [1], "data_offsets": [0, "x"]}}), "outside of the file"),
        (header({}), "no tensor of the block 'layer.0'"),
    ],
)
def test_broken_files_are_named(checkpoint: Path, content: Any, expected: Any) -> None:
    """A broken header is one clear line with the file's name."""
    (checkpoint / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_model(checkpoint)
    assert str(checkpoint) in str(caught.value)


def test_pickled_weights_are_refused(checkpoint: Path) -> None:
    """A folder that holds only .bin files is refused, with what to do instead."""
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled weights are not opened"):
        read_checkpoint(checkpoint)
    (checkpoint / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match=r"no \.safetensors file"):
        read_checkpoint(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("model.layers.11.mlp.down_proj.weight", 11),
        ("transformer.h.3.ln_1.bias", 3),
        ("h.0.attn.c_attn.weight", 0),
        ("h.0.attn.bias", None),
        ("blk.7.ffn_norm.weight", 7),
        ("model.decoder.layers.2.fc1.weight", 2),
        ("transformer.wte.weight", EMBED),
        ("wpe.weight", EMBED),
        ("word_embeddings_layernorm.bias", EMBED),
        ("model.decoder.embed_positions.weight", EMBED),
        ("token_embd.weight", EMBED),
        ("language_model.model.embed_tokens.weight", EMBED),
        ("model.norm.weight", HEAD),
        ("output.weight", HEAD),
        ("transformer.ln_f.weight", HEAD),
        ("lm_head.weight", HEAD),
        ("output_norm.weight", HEAD),
        ("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", None),
        ("rope_freqs.weight", None),
        ("multi_modal_projector.mm_input_projection_weight", None),
    ],
)
def test_names_of_tensors(name: str, block: Any) -> None:
    """Each architecture's tensors fall to the block that uses them."""
    assert block_of(name) == block


def test_shared_experts_are_not_routed() -> None:
    """Only routed experts are read in part."""
    assert is_routed("model.layers.3.mlp.experts.17.up_proj.weight")
    assert is_routed("blk.3.ffn_up_exps.weight")
    assert not is_routed("model.layers.3.mlp.shared_experts.up_proj.weight")
    assert not is_routed("blk.3.ffn_up_shexp.weight")


def test_index_of_deepseek_v3(tmp_path: Path) -> None:
    """An index of 688.6 GB: embedding and head in 16 bits, layers in FP8; 2% are the prediction module."""
    config = dict(models()["deepseek-v3"].config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    names = {"model.embed_tokens.weight": "a.safetensors", "lm_head.weight": "b.safetensors"}
    write_index(tmp_path, names, total=688_586_727_753)
    model = read_model(tmp_path)
    gigabytes = [model.blocks[at].weight_bytes / 1e9 for at in (0, 6, -1)]
    assert gigabytes == pytest.approx([1.853, 11.5, 1.853], rel=2e-3)
    assert any("15.4" in note and "left out" in note for note in model.notes)
