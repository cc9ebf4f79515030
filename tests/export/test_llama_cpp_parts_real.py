"""llama.cpp itself runs plans that leave parts of layers in main memory: each tensor where the plan has it, equal text.

Opt-in as `test_llama_cpp_real.py`. The model is a tiny random mixture of experts; an RPC server on loopback stands for
the card.
"""

from __future__ import annotations

import re
import shlex
import string
from pathlib import Path

import gguf
import numpy as np
import pytest

from placement.export.api import export_plan
from placement.plan.plan import PlacedSpan, Plan

from .plans import plan_of
from .test_llama_cpp_real import MOVED, THERE, complete, servers

pytestmark = [
    pytest.mark.llama_cpp,
    pytest.mark.skipif(not THERE, reason="PLACEMENT_LLAMA_CPP has no llama-completion"),
]
N_LAYERS, WIDTH, EXPERTS, USED, INNER = 4, 64, 4, 2, 96
TOKENS, LEAST_LETTERS = 96, 64
OVERRIDE = re.compile(r"tensor (blk\.\d+\.\S+) .*buffer type overridden to (\S+)")
ASSIGNED = re.compile(r"layer +(\d+) assigned to device (\S+?),")
CACHE = re.compile(r"layer +(\d+): dev = (\S+)")
CACHES = re.compile(r"(\S+) KV buffer size")


def vocabulary(writer: gguf.GGUFWriter) -> int:
    """Write a vocabulary of letters; return its size."""
    tokens = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", *string.ascii_letters]
    kinds = [2, 3, 3, 6, *([1] * (len(tokens) - 4))]  # unknown, control, byte, normal
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    return len(tokens)


def write_mixture(path: Path) -> None:
    """A random Mixtral-like model in float32."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(N_LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 4)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(USED)
    size = vocabulary(writer)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (size, WIDTH), "output": (size, WIDTH), "output_norm": (WIDTH,)}
    for layer in range(N_LAYERS):
        shapes |= {
            f"blk.{layer}.{name}": shape
            for name, shape in {
                "attn_norm": (WIDTH,),
                "ffn_norm": (WIDTH,),
                "attn_q": (WIDTH, WIDTH),
                "attn_k": (WIDTH // 2, WIDTH),
                "attn_v": (WIDTH // 2, WIDTH),
                "attn_output": (WIDTH, WIDTH),
                "ffn_gate_inp": (EXPERTS, WIDTH),
                "ffn_gate_exps": (EXPERTS, INNER, WIDTH),
                "ffn_up_exps": (EXPERTS, INNER, WIDTH),
                "ffn_down_exps": (EXPERTS, WIDTH, INNER),
            }.items()
        }
    for name, shape in shapes.items():
        data = rng.normal(0.0, 0.2, shape) if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(f"{name}.weight", data.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's file."""
    path = tmp_path_factory.mktemp("mixture") / "tiny.gguf"
    write_mixture(path)
    return path


@pytest.fixture(scope="module")
def alone(mixture: Path) -> str:
    """The text of a single process."""
    return complete(["-m", str(mixture), "--device", "none", "-ngl", "0"], TOKENS)[0]


def assert_same(text: str, other: str) -> None:
    """Equal as far as both go: so small a model is done before the program has printed its last letters."""
    length = min(len(text.rstrip()), len(other.rstrip()))
    assert length >= LEAST_LETTERS
    assert text[:length] == other[:length]


def parted(layers: tuple[int, ...], part: str) -> Plan:
    """A plan of one card that leaves a part of some layers in main memory."""
    spans = []
    for block in range(N_LAYERS + 2):
        apart = (part, "cpu") if block - 1 in layers else (None, None)
        spans.append(PlacedSpan("card", block, block + 1, *apart))
    return plan_of(spans, N_LAYERS, ("card", "cpu"))


def run(plan: Plan, model: Path) -> tuple[list[str], str, str]:
    """The exported words, the text and the log."""
    with servers(["card"]) as at:
        text = export_plan(plan, "llama.cpp", model=str(model), at={**at, "cpu": "CPU"}).text
        words = shlex.split(text.splitlines()[-1])
        return words, *complete(words[1:], TOKENS)


@pytest.mark.parametrize(
    ("layers", "flag"),
    [((0, 1), "--n-cpu-moe"), ((0, 1, 2, 3), "--cpu-moe"), ((1, 3), "-ot")],
)
def test_experts_lie_in_main_memory(layers: tuple[int, ...], flag: str, mixture: Path, alone: str) -> None:
    """The experts of these layers, and no other tensor, are moved to main memory; all layers are the card's."""
    words, text, log = run(parted(layers, "experts"), mixture)
    assert flag in words
    moved = {name: buffer.rstrip(")") for name, buffer in OVERRIDE.findall(log)}
    wanted = {f"blk.{layer}.ffn_{kind}_exps.weight" for layer in layers for kind in ("gate", "up", "down")}
    assert set(moved) == wanted
    assert all(buffer.startswith("CPU") for buffer in moved.values())
    assert {device for _, device in ASSIGNED.findall(log)} == {"RPC0"}
    assert MOVED.findall(log)
    assert_same(text, alone)


def test_caches_and_experts_lie_in_main_memory(mixture: Path, alone: str) -> None:
    """-nkvo beside --n-cpu-moe: all caches and the experts of two layers are the CPU's, the rest is the card's."""
    layers = [PlacedSpan("card", block, block + 1, "cache", "cpu") for block in range(3, N_LAYERS + 1)]
    both = [PlacedSpan("card", block, block + 1, "experts+cache", "cpu") for block in (1, 2)]
    ends = PlacedSpan("card", 0, 1), PlacedSpan("card", N_LAYERS + 1, N_LAYERS + 2)
    plan = plan_of([ends[0], *both, *layers, ends[1]], N_LAYERS, ("card", "cpu"))
    words, text, log = run(plan, mixture)
    assert "-nkvo" in words
    assert "--n-cpu-moe" in words
    assert set(CACHES.findall(log)) == {"CPU"}
    moved = {f"blk.{layer}.ffn_{kind}_exps.weight" for layer in (0, 1) for kind in ("gate", "up", "down")}
    assert {name for name, _ in OVERRIDE.findall(log)} == moved
    assert_same(text, alone)


def test_the_cache_lies_in_main_memory(mixture: Path, alone: str) -> None:
    """-nkvo: all caches are in the CPU's memory, all weights on the card; without it none is."""
    words, text, log = run(parted(tuple(range(N_LAYERS)), "cache"), mixture)
    assert "-nkvo" in words
    assert set(CACHES.findall(log)) == {"CPU"}
    assert not OVERRIDE.findall(log)
    assert_same(text, alone)
    _, text, log = run(parted((), ""), mixture)
    assert not any(name.startswith("CPU") for name in CACHES.findall(log))
    assert_same(text, alone)
