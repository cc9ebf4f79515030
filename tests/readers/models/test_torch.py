"""Torch modules: parameters give the bytes, a config the operations and the cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from placement.errors import InputError
from placement.readers.models.config import read_config
from placement.readers.models.read import read_model
from placement.readers.models.torch_module import read_module

CONFIG = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 50,
    "tie_word_embeddings": False,
}


class Attention(nn.Module):
    """Projections of a Llama layer."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.o_proj = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)
        self.k_proj, self.v_proj = nn.Linear(16, 8, bias=False), nn.Linear(16, 8, bias=False)


class Layer(nn.Module):
    """A Llama layer."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = Attention()
        self.mlp = nn.ModuleList(
            [nn.Linear(16, 24, bias=False), nn.Linear(16, 24, bias=False), nn.Linear(24, 16, bias=False)]
        )
        self.norm_1, self.norm_2 = nn.RMSNorm(16), nn.RMSNorm(16)


class Decoder(nn.Module):
    """A small decoder; its final norm is registered before its layers, as in OPT."""

    def __init__(self, config: Any = None, tied: bool = False) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(50, 16)
        self.final_layer_norm = nn.RMSNorm(16)
        self.layers = nn.ModuleList([Layer() for _ in range(3)])
        self.lm_head = nn.Linear(16, 50, bias=False)
        if tied:
            self.lm_head.weight = self.embed_tokens.weight
        if config is not None:
            self.config = config


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_meta_module_equals_its_configuration(dtype: str) -> None:
    """On the meta device, a module with a config is the model of that config."""
    with torch.device("meta"):
        module = Decoder(CONFIG).to(dtype)
    told = read_config(CONFIG, weights=str(dtype).removeprefix("torch."), name="Decoder")
    assert read_model(module) == told


def test_module_without_config() -> None:
    """Bytes are true all the same; operations are two per matrix parameter, and a note says what is missing."""
    module = Decoder().to(torch.bfloat16)
    model = read_module(module, name="mine")
    told = read_config(CONFIG)
    assert [b.weight_bytes for b in model.blocks] == [b.weight_bytes for b in told.blocks]
    assert [b.flops_per_token for b in model.blocks] == [b.flops_per_token for b in told.blocks]
    assert model.blocks[1].activation_bytes_per_token == 32
    assert model.blocks[1].kv_bytes_per_token == 0
    assert "no config" in " ".join(model.notes)
    assert model.name == "mine"


def test_tied_weights() -> None:
    """A shared parameter is counted on both blocks, and once as parameters."""
    model = read_module(Decoder(tied=True))
    assert model.ties[0].shared_bytes == 50 * 16 * 4
    assert model.blocks[-1].weight_bytes == 50 * 16 * 4 + 16 * 4
    assert model.blocks[-1].params == 16


def test_config_that_does_not_fit() -> None:
    """A config with another number of layers is not believed."""
    model = read_module(Decoder({**CONFIG, "num_hidden_layers": 9}))
    assert model.n_blocks == 5
    assert "3 layers" in " ".join(model.notes)


def test_layers_in_a_sequential() -> None:
    """Layers may stand in an nn.Sequential between an embedding and a head."""
    module = nn.Sequential(nn.Embedding(50, 16), nn.Sequential(Layer(), Layer()), nn.Linear(16, 50))
    model = read_module(module)
    assert [block.name for block in model.blocks] == ["embed", "layer.0", "layer.1", "head"]
    assert model.blocks[0].params == 800
    assert model.blocks[-1].params == 850


def test_module_without_layers() -> None:
    """A module that has no list of layers is refused."""
    with pytest.raises(InputError, match=r"nn\.ModuleList"):
        read_model(nn.Linear(2, 2))
