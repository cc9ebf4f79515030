"""accelerate itself takes our device maps: the same logits, whole coverage, and no spill where memory is free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from placement import optimize
from placement.errors import InputError
from placement.export import make_runtime
from placement.export.api import export_plan
from placement.export.base import Source, Target
from placement.plan.plan import PlacedSpan, Plan
from placement.readers.models.config import read_config
from tests.sampled import some_quick

from .plans import from_owners, owners, plan_of, random_plan

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")

N_LAYERS = 6
IDS = torch.tensor([[3, 17, 42, 99, 7]])
GIB = 2**30


def tiny(n_layers: int = N_LAYERS, tied: bool = False) -> Any:
    """A random Llama of a few megabytes."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
    )
    return transformers.LlamaForCausalLM(config).eval()


def device_map(plan: Plan, at: dict[str, str]) -> dict[str, Any]:
    """Our text as transformers takes it."""
    found: dict[str, Any] = json.loads(make_runtime("accelerate").write(plan, Target(at=at)).text)
    return found


@pytest.fixture(scope="module")
def expected() -> Any:
    """Logits of the model as it is."""
    with torch.no_grad():
        return tiny()(IDS).logits


@pytest.mark.parametrize("seed", some_quick(range(20), 1))
def test_random_maps_give_equal_logits(seed: int, expected: Any, tmp_path: Path) -> None:
    """Twenty random maps over cpu and disk, blocks in any order."""
    rng = np.random.default_rng(seed)
    plan = from_owners([str(node) for node in rng.choice(["main", "slow"], N_LAYERS + 2)])
    where = device_map(plan, {"main": "cpu", "slow": "disk"})
    model = tiny()
    accelerate.utils.check_device_map(model, where)
    placed = accelerate.dispatch_model(model, where, main_device="cpu", offload_dir=str(tmp_path), force_hooks=True)
    with torch.no_grad():
        assert torch.equal(placed(IDS).logits, expected)
    if "slow" in owners(plan)[1:-1]:
        slow = owners(plan)[1:-1].index("slow")
        assert next(placed.model.layers[slow].parameters()).device.type == "meta"  # it really lives on disk


@pytest.mark.parametrize("seed", some_quick(range(50), 10))
def test_maps_cover_every_parameter(seed: int) -> None:
    """accelerate's own check, on the meta device, for plans over up to eight nodes."""
    plan = random_plan(np.random.default_rng(seed), "any")
    with accelerate.init_empty_weights():
        model = tiny(plan.n_blocks - 2)
    accelerate.utils.check_device_map(model, device_map(plan, {}))


def put(module: Any, device: str) -> None:
    """Give a module weights and buffers on a device; `Module.to` cannot swap fake tensors."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = torch.nn.Parameter(
                    torch.empty_like(weight, device=device), requires_grad=False
                )
        for name, buffer in part._buffers.items():
            part._buffers[name] = torch.empty_like(buffer, device=device)


@pytest.mark.parametrize("seed", some_quick(range(5), 1))
def test_cuda_placements_on_fake_tensors(seed: int) -> None:
    """Without a GPU: every module's weights are on the device of the map, and tensors are moved between them.

    Fake tensors carry a device and no data, and an operation on two devices raises; moves between blocks
    stand in for the hooks of accelerate.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    rng = np.random.default_rng(seed)
    plan = from_owners([str(node) for node in rng.choice(["g0", "g1", "g2"], N_LAYERS + 2)])
    where = device_map(plan, {"g0": "cuda:0", "g1": "cuda:1", "g2": "cuda:2"})
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        model = tiny()
        for name, device in where.items():
            put(model.get_submodule(name), f"cuda:{device}")
        inner, hidden = model.model, IDS
        hidden = inner.embed_tokens(hidden.to(inner.embed_tokens.weight.device))
        for layer in inner.layers:
            device = layer.input_layernorm.weight.device
            here = hidden.to(device)
            # A CPU build of torch cannot slice fake tensors of a GPU, so the rotary part of attention is left out.
            mixed = layer.self_attn.q_proj(layer.input_layernorm(here))
            hidden = layer.mlp(layer.post_attention_layernorm(layer.self_attn.o_proj(mixed)))
        logits = model.lm_head(inner.norm(hidden.to(inner.norm.weight.device)))
        elsewhere = torch.empty(64, 64, device="cuda:7")
        with pytest.raises(RuntimeError, match="device"):
            torch.matmul(hidden, elsewhere)
    devices = {"g0": 0, "g1": 1, "g2": 2}
    assert logits.device.index == devices[owners(plan)[-1]]
    for block, node in enumerate(owners(plan)[1:-1]):
        assert {p.device.index for p in model.model.layers[block].parameters()} == {devices[node]}


LLAMA_2_70B = {
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
    "max_position_embeddings": 4096,
    "_name_or_path": "llama-2-70b",
}
SIZES = (80, 40, 24, 24)


def test_no_spill_where_memory_is_free() -> None:
    """Llama-2-70B in float16 on 80, 40, 24 and 24 GiB: `balanced` puts layers on the CPU, our plan puts none there."""
    with accelerate.init_empty_weights():
        config = transformers.LlamaConfig(
            **{k: v for k, v in LLAMA_2_70B.items() if not k.startswith(("_", "model_t"))}
        )
        model = transformers.LlamaForCausalLM(config)
    sizes = {k: size * GIB for k, size in enumerate(SIZES)} | {"cpu": 400 * GIB}
    options: dict[str, Any] = {"no_split_module_classes": ["LlamaDecoderLayer"], "dtype": torch.float16}
    budget = accelerate.utils.get_balanced_memory(model, max_memory=dict(sizes), **options)
    theirs = accelerate.infer_auto_device_map(model, max_memory=budget, **options)
    assert sum(device == "cpu" for name, device in theirs.items() if ".layers." in name) > 0

    nodes = [
        {"name": f"gpu-{k}", "memory": f"{size} GiB", "compute": "100 TFLOP/s", "memory_bandwidth": "1 TB/s"}
        for k, size in enumerate(SIZES)
    ]
    cluster = {
        "model": "llama-3.1-8b",
        "nodes": nodes,
        "runtime": "accelerate",
        "workload": {"prompt_tokens": 64, "output_tokens": 64},
        "network": {"within": {"default": {"bandwidth": "16 GB/s", "latency": "10 us"}}},
    }
    plan = optimize(read_config(LLAMA_2_70B, weights="float16"), cluster, time_limit=3).plan
    where = device_map(plan, {})
    accelerate.utils.check_device_map(model, where)
    assert set(where.values()) <= set(range(4))
    taken = accelerate.utils.compute_module_sizes(model, dtype=torch.float16)
    for device, size in enumerate(SIZES):
        used = sum(taken[name] for name, mine in where.items() if mine == device and name in taken)
        assert used <= size * GIB


def mixture() -> Any:
    """A random Mixtral of a few megabytes."""
    torch.manual_seed(0)
    config = transformers.MixtralConfig(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        max_position_embeddings=128,
    )
    return transformers.MixtralForCausalLM(config).eval()


@pytest.mark.filterwarnings("ignore:The following device_map keys do not match")
@pytest.mark.parametrize(("part", "make"), [("ffn", tiny), ("experts", mixture)])
def test_parts_of_layers_lie_where_the_plan_has_them(part: str, make: Any, tmp_path: Path) -> None:
    """FFN or experts of three layers elsewhere, the rest of them on the card: equal logits, and it reads back."""
    apart = [PlacedSpan("card", 2, 4, part, "ram"), PlacedSpan("card", 5, 6, part, "ram")]
    rest = [PlacedSpan("card", 0, 2), PlacedSpan("card", 4, 5), PlacedSpan("card", 6, N_LAYERS + 2)]
    plan = plan_of(sorted([*apart, *rest], key=lambda span: span.start), N_LAYERS, ("card", "ram"))
    text = export_plan(plan, "accelerate", at={"card": "cpu", "ram": "disk"}).text
    model = make()
    with torch.no_grad():
        wanted = model(IDS).logits
    accelerate.utils.check_device_map(model, json.loads(text))
    placed = accelerate.dispatch_model(
        model, json.loads(text), main_device="cpu", offload_dir=str(tmp_path), force_hooks=True
    )
    for layer, module in enumerate(placed.model.layers):
        away = layer + 1 in (2, 3, 5)
        moved = module.mlp if part == "ffn" else module.mlp.experts
        assert {weight.device.type for weight in moved.parameters()} == {"meta" if away else "cpu"}
        assert {weight.device.type for weight in module.self_attn.parameters()} == {"cpu"}
    with torch.no_grad():
        assert torch.equal(placed(IDS).logits, wanted)
    source = Source(text, N_LAYERS, ("card", "ram"), {"card": "cpu", "ram": "disk"})
    assert make_runtime("accelerate").read(source) == plan.placement


def test_a_divided_layer_is_read_or_refused() -> None:
    """The cache cannot lie elsewhere, and of the modules of a layer only mlp and mlp.experts may."""
    where = {
        "model.embed_tokens": 0,
        "model.layers.0.self_attn": 0,
        "model.layers.0.input_layernorm": "cpu",
        "lm_head": 0,
    }
    with pytest.raises(InputError, match=r"of layer 0 mlp or mlp\.experts may lie elsewhere"):
        make_runtime("accelerate").read(Source(json.dumps(where), 1, ("a",), {"ram": "cpu"}))
    plan = plan_of([PlacedSpan("card", 0, 1), PlacedSpan("card", 1, 3, "cache", "ram"), PlacedSpan("card", 3, 4)], 2)
    with pytest.raises(InputError, match="accelerate leaves experts and ffn elsewhere at most"):
        export_plan(plan, "accelerate")


def test_a_users_map_is_read() -> None:
    """Maps with cuda:1, cpu and whole parents, as `infer_auto_device_map` makes them."""
    text = '{"model.embed_tokens": 0, "model.layers": "cuda:1", "model.norm": "cpu", "lm_head": "cpu"}'
    source = Source(text, 4, ("a", "b"), {"host": "cpu"})
    assert [(s.node, s.start, s.stop) for s in make_runtime("accelerate").read(source)] == [
        ("a", 0, 1),
        ("b", 1, 5),
        ("host", 5, 6),
    ]
