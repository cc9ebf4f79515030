"""The catalog of models: every preset is read, and its size agrees with the published one."""

import pytest

from placement.catalog.presets import models
from placement.errors import InputError
from placement.question.model import Model
from placement.readers.models.read import read_model

PUBLISHED = {
    "llama-3.1-8b": 8.03e9, "llama-3.1-70b": 70.55e9, "llama-3.1-405b": 405.85e9, "mixtral-8x7b": 46.70e9,
    "deepseek-v3": 671.0e9, "bloom-176b": 176.25e9,
}  # fmt: skip

ACTIVE = {"mixtral-8x7b": 12.9e9, "qwen3-30b-a3b": 3.3e9, "qwen3-235b-a22b": 22e9, "gpt-oss-120b": 5.1e9}


@pytest.mark.parametrize("name", list(models()))
def test_parameters_agree_with_the_published_count(name):
    """Within 0.5% of what was published, with a source that says where."""
    preset = models()[name]
    model = read_model(name)
    assert model.params == pytest.approx(preset.parameters, rel=0.005)
    assert "https://" in preset.source
    assert model.name == name
    assert model.n_blocks == len([b for b in model.blocks if b.name.startswith("layer.")]) + 2


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_headline_counts(name, count):
    """The six counts that the project promises."""
    assert read_model(name).params == pytest.approx(count, rel=0.005)


@pytest.mark.parametrize(("name", "count"), ACTIVE.items())
def test_active_parameters_of_experts(name, count):
    """Operations per token follow the active parameters that were published (embedding included there)."""
    model = read_model(name)
    active = sum(block.flops_per_token for block in model.blocks) / 2 + model.blocks[0].params
    assert active == pytest.approx(count, rel=0.12)


def test_catalog_is_large_and_varied():
    """At least 30 presets, dense and sparse, tied and free, with and without windows."""
    read = [read_model(name) for name in models()]
    assert len(read) >= 30
    assert any(model.ties for model in read)
    assert any(block.experts for model in read for block in model.blocks)
    assert any(len({block.kv_window_tokens for block in model.blocks[1:-1]}) == 2 for model in read)


def test_unknown_preset_names_the_nearest():
    """A typing mistake is answered with the preset that was meant."""
    with pytest.raises(InputError, match=r"did you mean 'llama-3\.1-70b'"):
        read_model("llama-3.1-70bb")
    with pytest.raises(InputError, match="no such file"):
        read_model("models/llama.gguf")
    with pytest.raises(InputError, match="expected a preset name"):
        read_model(42)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected a preset name"):
        read_model("")


def test_names_are_forgiving_and_models_pass_through():
    """Case and blanks do not matter; a Model is returned as it is."""
    model = read_model(" Llama-3.1-8B ")
    assert isinstance(model, Model)
    assert read_model(model) is model
