"""Modules of any kind: the chain that runs when they run, what passes between, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from placement.errors import InputError
from placement.question.model import Model
from placement.readers.models.read import read_model
from placement.readers.models.torch_module import read_module


def stored_bytes(module: nn.Module) -> int:
    """Bytes of all parameters, each once."""
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def held_bytes(model: Model) -> float:
    """Bytes of all blocks and extras, each shared tensor once."""
    shared = sum(tie.shared_bytes * (len(tie.blocks) - 1) for tie in model.ties)
    extras = sum(extra.weight_bytes for extra in model.extras)
    return sum(block.weight_bytes for block in model.blocks) - shared + extras


def of_transformers(kind: str, model_class: str, **sizes: object) -> nn.Module:
    """A small module of transformers without data."""
    import transformers

    config = transformers.AutoConfig.for_model(kind, **sizes)
    with torch.device("meta"):
        module: nn.Module = getattr(transformers, model_class)._from_config(config)
    return module


SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "vocab_size": 100,
}
SEEING = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def test_t5_has_its_encoder_and_its_decoder_as_blocks() -> None:
    """Both lists are blocks in the order of execution; the embedding under three names is held once."""
    module = of_transformers(
        "t5",
        "T5ForConditionalGeneration",
        d_model=32,
        d_ff=64,
        d_kv=16,
        num_heads=2,
        num_layers=3,
        num_decoder_layers=2,
        vocab_size=100,
    )
    model = read_model(module)
    names = [block.name for block in model.blocks]
    assert names == ["embed", *(f"encoder.block.{at}" for at in range(3)), "decoder.block.0", "decoder.block.1", "head"]
    assert held_bytes(model) == stored_bytes(module)
    assert all(block.flops_per_token > 0 for block in model.blocks[1:])
    # A cut within the decoder carries what the encoder gave, beside the decoder's own numbers.
    assert model.blocks[4].activation_bytes_per_token >= 2 * 32 * 4


@pytest.mark.parametrize("kind", ["bart", "whisper"])
def test_encoder_and_decoder_of_others(kind: str) -> None:
    """BART from texts, Whisper from sound: all layers are blocks, and no byte is lost."""
    classes = {"bart": "BartForConditionalGeneration", "whisper": "WhisperForConditionalGeneration"}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    sound = {"max_source_positions": 24, "num_mel_bins": 8} if kind == "whisper" else {}
    module = of_transformers(kind, classes[kind], **SEQ2SEQ, **special, **sound)
    model = read_model(module)
    assert [block.name.rpartition(".")[0] for block in model.blocks[1:-1]] == [
        *["model.encoder.layers"] * 3,
        *["model.decoder.layers"] * 2,
    ]
    assert held_bytes(model) == stored_bytes(module)


def test_vit_hands_on_its_patches() -> None:
    """16 patches and one token for the class; between layers pass 32 numbers for each."""
    module = of_transformers("vit", "ViTForImageClassification", **SEEING)
    model = read_model(module)
    assert model.n_blocks == 5
    assert {block.activation_bytes_per_token for block in model.blocks[1:3]} == {32 * 4}
    assert held_bytes(model) == stored_bytes(module)


def test_swin_narrows() -> None:
    """Each stage hands on fewer positions of more numbers; its blocks stand in lists within lists."""
    module = of_transformers(
        "swin",
        "SwinForImageClassification",
        image_size=32,
        patch_size=2,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
    )
    model = read_model(module)
    out = [block.activation_bytes_per_token for block in model.blocks]
    assert out[1] == pytest.approx(out[0] / 2)  # a quarter of the positions, twice the numbers
    assert held_bytes(model) == stored_bytes(module)


def test_clip_carries_one_tower_past_the_other() -> None:
    """Two towers run one after the other: a cut carries what the first gave, to where both are joined."""
    module = of_transformers(
        "clip",
        "CLIPModel",
        vision_config=SEEING,
        projection_dim=16,
        text_config={**{key: SEEING[key] for key in list(SEEING)[:4]}, "vocab_size": 100, "eos_token_id": 2},
    )
    model = read_model(module)
    assert model.n_blocks == 3 + 3 + 2
    assert held_bytes(model) == stored_bytes(module)


class Stream(nn.Module):
    """A block that reads and writes two streams, as the first blocks of Flux do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.img_mod, self.txt_mod = nn.Linear(width, width), nn.Linear(width, width)
        self.img_mlp, self.txt_mlp = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, img: Any, txt: Any, vec: Any) -> Any:
        img, txt = img + self.img_mod(vec)[:, None] * img, txt + self.txt_mod(vec)[:, None] * txt
        scores = torch.softmax(img @ txt.transpose(1, 2), -1)
        return img + self.img_mlp(scores @ txt), txt + self.txt_mlp(txt)


class Single(nn.Module):
    """A block that reads and writes one stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mod, self.linear = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Any, vec: Any) -> Any:
        return x + self.linear(x * self.mod(vec)[:, None])


class FluxLike(nn.Module):
    """Double blocks, then single blocks on both streams together, conditioned by one vector."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.img_in, self.txt_in = nn.Linear(8, width), nn.Linear(12, width)
        self.vector_in = nn.Linear(6, width)
        self.double_blocks = nn.ModuleList([Stream(width) for _ in range(3)])
        self.single_blocks = nn.ModuleList([Single(width) for _ in range(2)])
        self.final_layer = nn.Linear(width, 8)

    def forward(self, img: Any, txt: Any, timesteps: Any, y: Any) -> Any:
        img, txt, vec = self.img_in(img), self.txt_in(txt), self.vector_in(y) * timesteps[:, None]
        for block in self.double_blocks:
            img, txt = block(img, txt, vec)
        x = torch.cat((txt, img), 1)
        for single in self.single_blocks:
            x = single(x, vec)
        return self.final_layer(x[:, txt.shape[1] :])


def flux_inputs() -> dict[str, torch.Tensor]:
    """16 positions of an image, 10 of a text."""
    return {
        "img": torch.zeros(1, 16, 8),
        "txt": torch.zeros(1, 10, 12),
        "timesteps": torch.zeros(1),
        "y": torch.zeros(1, 6),
    }


def test_a_flux_like_transformer() -> None:
    """Between double blocks pass both streams and the vector that conditions every block."""
    module = FluxLike()
    model = read_module(module, inputs=flux_inputs())
    assert [block.name for block in model.blocks] == [
        "embed",
        "double_blocks.0",
        "double_blocks.1",
        "double_blocks.2",
        "single_blocks.0",
        "single_blocks.1",
        "head",
    ]
    assert model.blocks[1].activation_bytes_per_token == (16 + 10 + 1) * 32 * 4 / 16
    assert held_bytes(model) == stored_bytes(module)


class Conv(nn.Module):
    """Two convolutions."""

    def __init__(self, ins: int, out: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(ins, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return torch.relu(self.two(torch.relu(self.one(x))))


class UNet(nn.Module):
    """What the way down leaves is joined on the way up."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([Conv(4, 8), Conv(8, 16)])
        self.mid = Conv(16, 16)
        self.up = nn.ModuleList([Conv(32, 8), Conv(16, 8)])
        self.out = nn.Conv2d(8, 4, 1)

    def forward(self, sample: Any, timestep: Any) -> Any:
        left = []
        x = sample + timestep[:, None, None, None]
        for block in self.down:
            x = block(x)
            left.append(x)
            x = nn.functional.avg_pool2d(x, 2)
        x = self.mid(x)
        for block in self.up:
            x = nn.functional.interpolate(x, scale_factor=2)
            x = block(torch.cat((x, left.pop()), 1))
        return self.out(x)


def test_the_outer_chain_of_a_unet() -> None:
    """A cut in the middle carries what was left on the way down as well."""
    module = UNet()
    model = read_module(module, inputs={"sample": torch.zeros(1, 4, 16, 16), "timestep": torch.zeros(1)})
    assert [block.name for block in model.blocks] == ["down.0", "down.1", "mid", "up.0", "up.1", "head"]
    left, further, inner = 8 * 16 * 16, 16 * 8 * 8, 16 * 4 * 4
    assert model.blocks[2].activation_bytes_per_token == (left + further + inner) * 4 / 256
    assert held_bytes(model) == stored_bytes(module)
    assert read_module(UNet()).n_blocks == model.n_blocks  # the inputs are guessed


class Layer(nn.Module):
    """A residual layer."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.norm, self.linear = nn.RMSNorm(width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        return x + self.linear(self.norm(x))


class Titan(nn.Module):
    """Layers in a dictionary, as in torchtitan."""

    def __init__(self) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(50, 16)
        self.layers = nn.ModuleDict({str(at): Layer() for at in range(4)})
        self.norm, self.output = nn.RMSNorm(16), nn.Linear(16, 50, bias=False)

    def forward(self, tokens: int) -> Any:
        x = self.tok_embeddings(tokens)
        for layer in self.layers.values():
            x = layer(x)
        return self.output(self.norm(x))


def test_layers_in_a_dictionary() -> None:
    """The items of an nn.ModuleDict are blocks, between an embedding that is looked up and a head."""
    model = read_model(Titan())
    assert [block.name for block in model.blocks] == ["embed", *(f"layer.{at}" for at in range(4)), "head"]
    assert model.blocks[0].lookup
    assert [block.flops_per_token for block in model.blocks] == [0, *[2 * 16 * 16] * 4, 2 * 16 * 50]
    assert [block.activation_bytes_per_token for block in model.blocks] == [*[64] * 5, 4]


class Again(nn.Module):
    """Two layers that run three times each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(), Layer()])

    def forward(self, x: Any) -> Any:
        for _ in range(3):
            for layer in self.layers:
                x = layer(x)
        return x


def test_a_block_that_runs_twice_is_held_once() -> None:
    """Every run is a block of the chain; those of one module lie on one node, which holds it once."""
    module = Again()
    model = read_model(module)
    assert [block.name for block in model.blocks][:3] == ["layer.0", "layer.1", "layers.0@2"]
    assert model.n_blocks == 6
    assert model.params == sum(parameter.numel() for parameter in module.parameters())
    assert model.weight_bytes == stored_bytes(module)
    assert [tie.blocks for tie in model.ties] == [(0, 2, 4), (1, 3, 5)]


def test_plain_sequences() -> None:
    """A bare nn.Sequential is a chain of its items; without data or with, nothing of it changes."""
    module = nn.Sequential(*[nn.Linear(8, 8) for _ in range(5)])
    before = module.state_dict()
    assert read_model(module).n_blocks == 5
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert module.training


class Unruly(nn.Module):
    """Something that is no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return self.only(x)


def test_what_is_no_chain_is_refused_with_its_modules() -> None:
    """One layer is no chain; inputs that do not fit are an error that says so."""
    with pytest.raises(InputError, match=r"Unruly is no chain.*it has only"):
        read_model(Unruly())
    with pytest.raises(InputError, match="cannot be run without data"):
        read_module(Titan(), inputs={"tokens": torch.zeros(1, 3)})
