"""Bytes per weight: known file sizes, what stays wide, and names."""

import pytest

from placement.errors import InputError
from placement.readers.models.mixes import BLOCKS, CONDITIONS, MIXES, NARROW_ROWS
from placement.readers.models.quantization import ALIASES, QUANTIZATIONS, quantization
from placement.readers.models.read import read_model

# Sizes of published .gguf files in GB (10^9 bytes), e.g. https://huggingface.co/bartowski.
FILES = [
    ("llama-3.1-8b", "q2_k", 3.18), ("llama-3.1-8b", "q3_k_m", 4.02), ("llama-3.1-8b", "q3_k_l", 4.32),
    ("llama-3.1-8b", "iq4_xs", 4.45), ("llama-3.1-8b", "q4_k_s", 4.69), ("llama-3.1-8b", "q4_k_m", 4.92),
    ("llama-3.1-8b", "q5_k_m", 5.73), ("llama-3.1-8b", "q6_k", 6.60), ("llama-3.1-8b", "q8_0", 8.54),
    ("llama-3.1-70b", "q2_k", 26.38), ("llama-3.1-70b", "q4_k_m", 42.52), ("qwen2.5-7b", "q4_k_m", 4.68),
    ("gemma-2-9b", "q4_k_m", 5.76), ("phi-3-mini", "q4_k_m", 2.39), ("llama-2-7b", "q4_k_m", 4.08),
]  # fmt: skip


def stored_bytes(model):
    return model.weight_bytes - sum(tie.shared_bytes for tie in model.ties)


@pytest.mark.parametrize(("name", "weights", "gigabytes"), FILES)
def test_known_file_sizes(name, weights, gigabytes):
    """Within 1% of the size of the published file."""
    assert stored_bytes(read_model(name, weights=weights)) / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_mixed_formats_make_layers_unlike():
    """Under q4_k_m the outer layers of a model are larger than most inner ones."""
    sizes = [block.weight_bytes for block in read_model("llama-3.1-8b", weights="q4_k_m").blocks[1:-1]]
    assert sizes[0] == sizes[-1] > sizes[4]
    assert len(set(sizes)) == 2


@pytest.mark.parametrize("name", ["nf4", "int8", "awq", "gptq", "int4", "fp8"])
def test_embedding_and_head_stay_wide(name):
    """Quantizations of linear layers leave the embedding and the head in 16 bits."""
    wide, narrow = read_model("llama-3.1-8b"), read_model("llama-3.1-8b", weights=name)
    assert narrow.blocks[0].weight_bytes == wide.blocks[0].weight_bytes
    assert narrow.blocks[-1].weight_bytes == wide.blocks[-1].weight_bytes
    assert narrow.blocks[1].weight_bytes < 0.51 * wide.blocks[1].weight_bytes


def test_nf4_has_the_published_bits():
    """Double quantization costs 0.127 bits per weight (arXiv:2305.14314)."""
    assert quantization("nf4").bits == pytest.approx(4.127, abs=5e-4)


def test_mxfp4_of_experts_is_the_published_size():
    """gpt-oss-120b in its own format: 60.8 GiB (arXiv:2508.10925, table 1)."""
    assert stored_bytes(read_model("gpt-oss-120b", weights="mxfp4")) / 2**30 == pytest.approx(60.8, rel=0.01)


@pytest.mark.parametrize(
    ("name", "compute"),
    [("bfloat16", "bfloat16"), ("float16", "float16"), ("float32", "float32"), ("fp8", "fp8"), ("int8", "int8"),
     ("nf4", "bfloat16"), ("q4_k_m", "bfloat16"), ("awq", "bfloat16")],
)  # fmt: skip
def test_compute_format(name, compute):
    """Weight-only quantizations multiply in 16 bits; the others in their own format."""
    assert read_model("llama-3.2-1b", weights=name).compute_dtype == compute


def test_every_format_reads_every_architecture():
    """Bytes are positive and no larger than in 32 bits, whatever the format."""
    for name in ("llama-3.2-1b", "gpt2", "qwen2.5-0.5b", "mixtral-8x7b", "deepseek-v2-lite", "falcon-7b"):
        largest = read_model(name, weights="float32")
        for weights in QUANTIZATIONS:
            model = read_model(name, weights=weights)
            assert all(
                0 < block.weight_bytes <= wide.weight_bytes
                for block, wide in zip(model.blocks, largest.blocks, strict=True)
            )


def test_tables_are_closed():
    """Every alias and every rule names something that exists."""
    assert set(ALIASES.values()) <= set(QUANTIZATIONS)
    for mix in MIXES.values():
        assert {mix.base, mix.head_block, mix.experts or mix.base} <= set(BLOCKS)
        assert all(rule.block in BLOCKS and rule.condition in CONDITIONS for rule in mix.rules)
    assert set(NARROW_ROWS) | set(NARROW_ROWS.values()) <= set(BLOCKS)
    assert all(entry.source for entry in QUANTIZATIONS.values())


@pytest.mark.parametrize(("name", "expected"), [("BF16", "bfloat16"), ("Q4_K", "q4_k_m"), ("fp8-e4m3", "fp8")])
def test_aliases(name, expected):
    """Usual spellings are understood."""
    assert quantization(name).name == expected


def test_unknown_names_get_the_nearest():
    """A mistake names what was meant."""
    with pytest.raises(InputError, match="did you mean 'q8_0'"):
        quantization("q8_00")
    with pytest.raises(InputError, match="KV cache"):
        read_model("llama-3.1-8b", kv_dtype="q9")
    with pytest.raises(InputError, match="unknown number format"):
        quantization(4)  # type: ignore[arg-type]
