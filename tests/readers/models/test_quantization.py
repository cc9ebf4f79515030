"""Bytes per weight: known file sizes, what stays wide, and names."""

from __future__ import annotations

from typing import Any

import pytest

from placement.errors import InputError
from placement.readers.models.mixes import BLOCKS, CONDITIONS, MIXES, NARROW_ROWS
from placement.readers.models.quantization import ALIASES, QUANTIZATIONS, quantization
from placement.readers.models.read import read_model

# Bits per weight of Llama 3.1 8B in the table of llama.cpp's quantization tool (tools/quantize/README.md, 2025). Its
# IQ4_XS and IQ4_NL were made without an importance matrix, with which they are published; those are below.
TABLE = {
    "iq1_s": 2.0042,
    "iq1_m": 2.1460,
    "iq2_xxs": 2.3824,
    "iq2_xs": 2.5882,
    "iq2_s": 2.7403,
    "iq2_m": 2.9294,
    "iq3_xxs": 3.2548,
    "iq3_xs": 3.4977,
    "iq3_s": 3.6606,
    "iq3_m": 3.7628,
    "q2_k_s": 2.9697,
    "q2_k": 3.1593,
    "q3_k_s": 3.6429,
    "q3_k_m": 3.9960,
    "q3_k_l": 4.2979,
    "q4_k_s": 4.6672,
    "q4_k_m": 4.8944,
    "q5_k_s": 5.5704,
    "q5_k_m": 5.7036,
    "q6_k": 6.5633,
    "q8_0": 8.5008,
    "float16": 16.0005,
}

# Published files: GiB of the tensors as llama-bench prints them (llama.cpp's issues and discussions, 2023 to 2026), and
# GB of whole files at https://huggingface.co/bartowski, which hold a vocabulary of 2 to 10 MB beside.
GIB = [
    ("llama-2-7b", "q4_0", 3.56),
    ("llama-2-7b", "q4_k_m", 3.80),
    ("llama-2-7b", "q8_0", 6.67),
    ("llama-3-70b", "q4_k_m", 39.59),
    ("llama-3-70b", "float16", 131.42),
    ("qwen2.5-14b", "q4_k_m", 8.37),
    ("qwen2.5-32b", "q4_k_m", 18.48),
    ("qwen3-30b-a3b", "q4_k_m", 17.28),
    ("mixtral-8x22b", "q4_k_m", 79.71),
    ("gpt-oss-20b", "mxfp4_moe", 11.27),
    ("gpt-oss-120b", "mxfp4_moe", 59.02),
    ("deepseek-v3", "q4_k_m", 376.65),
    ("qwen3-4b", "q8_0", 3.98),
]
GB = [
    ("llama-3.1-8b", "iq4_xs", 4.45),
    ("llama-3.1-70b", "q2_k", 26.38),
    ("llama-3.1-70b", "q4_k_m", 42.52),
    ("qwen3-4b", "q6_k", 3.31),
    ("qwen3-4b", "q5_k_m", 2.89),
    ("qwen3-4b", "q5_k_s", 2.82),
    ("qwen3-4b", "q4_k_m", 2.50),
    ("qwen3-4b", "q4_k_s", 2.38),
    ("qwen3-30b-a3b", "q8_0", 32.48),
    ("qwen3-30b-a3b", "q6_k", 25.10),
    ("qwen3-30b-a3b", "q5_k_m", 21.74),
    ("qwen3-30b-a3b", "q5_k_s", 21.10),
    ("gemma-3-4b", "q8_0", 4.13),
    ("gemma-3-4b", "q4_k_m", 2.49),
    ("qwen3-next-80b-a3b", "q4_k_m", 48.49),
    ("glm-4.7-flash", "q4_k_m", 18.13),
    ("nemotron-3-nano-30b-a3b", "q4_k_m", 24.52),
]
FILES = [(*entry[:2], entry[2] * 2**30) for entry in GIB] + [(*entry[:2], entry[2] * 1e9) for entry in GB]


def stored_bytes(model: Any) -> Any:
    return model.weight_bytes - sum(tie.shared_bytes for tie in model.ties)


@pytest.mark.parametrize(("name", "bits"), TABLE.items())
def test_table_of_the_quantization_tool(name: str, bits: int) -> None:
    """Every mix of llama.cpp's own table, to the fourth decimal."""
    model = read_model("llama-3.1-8b", weights=name)
    assert stored_bytes(model) * 8 / model.params == pytest.approx(bits, abs=6e-4)


@pytest.mark.parametrize(("name", "weights", "size"), FILES)
def test_known_file_sizes(name: str, weights: Any, size: int) -> None:
    """Within 0.5% of the published size, in bytes."""
    assert stored_bytes(read_model(name, weights=weights)) == pytest.approx(size, rel=0.005)


def test_measured_mixes_say_so() -> None:
    """Unsloth's mixes are sized by measured bits, and the plan says that they differ by model."""
    model = read_model("deepseek-v3", weights="UD-Q2_K_XL")
    assert stored_bytes(model) == pytest.approx(212e9, rel=0.01)
    assert any("Unsloth" in note for note in model.notes)


@pytest.mark.parametrize(
    ("name", "bits"),
    [("int4-g32", 4.5), ("int4-g64", 4.25), ("int4-g128", 4.125), ("nvfp4", 4.5), ("mlx-4bit", 4.5), ("mlx-8bit", 8.5)],
)
def test_formats_in_groups(name: str, bits: int) -> None:
    """Scales of groups count: 16 bits per group, 8 per 16 values of NVFP4, 32 per 64 of MLX."""
    assert quantization(name).bits == pytest.approx(bits)


def test_mixed_formats_make_layers_unlike() -> None:
    """Under q4_k_m the outer layers of a model are larger than most inner ones."""
    sizes = [block.weight_bytes for block in read_model("llama-3.1-8b", weights="q4_k_m").blocks[1:-1]]
    assert sizes[0] == sizes[-1] > sizes[4]
    assert len(set(sizes)) == 2


@pytest.mark.parametrize("name", ["nf4", "int8", "awq", "gptq", "int4", "fp8"])
def test_embedding_and_head_stay_wide(name: str) -> None:
    """Quantizations of linear layers leave the embedding and the head in 16 bits."""
    wide, narrow = read_model("llama-3.1-8b"), read_model("llama-3.1-8b", weights=name)
    assert narrow.blocks[0].weight_bytes == wide.blocks[0].weight_bytes
    assert narrow.blocks[-1].weight_bytes == wide.blocks[-1].weight_bytes
    assert narrow.blocks[1].weight_bytes < 0.51 * wide.blocks[1].weight_bytes


def test_nf4_has_the_published_bits() -> None:
    """Double quantization costs 0.127 bits per weight (arXiv:2305.14314)."""
    assert quantization("nf4").bits == pytest.approx(4.127, abs=5e-4)


def test_mxfp4_of_experts_is_the_published_size() -> None:
    """gpt-oss-120b in its own format: 60.8 GiB (arXiv:2508.10925, table 1)."""
    assert stored_bytes(read_model("gpt-oss-120b", weights="mxfp4")) / 2**30 == pytest.approx(60.8, rel=0.01)


@pytest.mark.parametrize(
    ("name", "compute"),
    [
        ("bfloat16", "bfloat16"),
        ("float16", "float16"),
        ("float32", "float32"),
        ("fp8", "fp8"),
        ("int8", "int8"),
        ("nf4", "bfloat16"),
        ("q4_k_m", "bfloat16"),
        ("awq", "bfloat16"),
    ],
)
def test_compute_format(name: str, compute: Any) -> None:
    """Weight-only quantizations multiply in 16 bits; the others in their own format."""
    assert read_model("llama-3.2-1b", weights=name).compute_dtype == compute


def test_every_format_reads_every_architecture() -> None:
    """Bytes are positive and no larger than in 32 bits, whatever the format."""
    for name in ("llama-3.2-1b", "gpt2", "qwen2.5-0.5b", "mixtral-8x7b", "deepseek-v2-lite", "falcon-7b"):
        largest = read_model(name, weights="float32")
        for weights in QUANTIZATIONS:
            model = read_model(name, weights=weights)
            assert all(
                0 < block.weight_bytes <= wide.weight_bytes
                for block, wide in zip(model.blocks, largest.blocks, strict=True)
            )


def test_tables_are_closed() -> None:
    """Every alias and every rule names something that exists."""
    assert set(ALIASES.values()) <= set(QUANTIZATIONS)
    for mix in MIXES.values():
        assert {mix.base, mix.head_block, mix.experts or mix.base} <= set(BLOCKS)
        assert all(rule.block in BLOCKS and rule.condition in CONDITIONS for rule in mix.rules)
    assert set(NARROW_ROWS) | set(NARROW_ROWS.values()) <= set(BLOCKS)
    assert all(entry.source for entry in QUANTIZATIONS.values())


@pytest.mark.parametrize(("name", "expected"), [("BF16", "bfloat16"), ("Q4_K", "q4_k_m"), ("fp8-e4m3", "fp8")])
def test_aliases(name: str, expected: Any) -> None:
    """Usual spellings are understood."""
    assert quantization(name).name == expected


def test_unknown_names_get_the_nearest() -> None:
    """A mistake names what was meant."""
    with pytest.raises(InputError, match="did you mean 'q8_0'"):
        quantization("q8_00")
    with pytest.raises(InputError, match="KV cache"):
        read_model("llama-3.1-8b", kv_dtype="q9")
    with pytest.raises(InputError, match="unknown number format"):
        quantization(4)  # type: ignore[arg-type]
