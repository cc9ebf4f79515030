"""The catalog of models: every preset is read, and its size agrees with the published one."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from placement import catalog
from placement.catalog.presets import Preset, models, preset
from placement.errors import InputError
from placement.question.model import Model
from placement.readers.models.formulas import from_formulas
from placement.readers.models.library.language import read_library
from placement.readers.models.parts import Shape
from placement.readers.models.read import read_model
from placement.readers.models.remembered import key_of, recall

PUBLISHED = {
    "llama-3.1-8b": 8.03e9,
    "llama-3.1-70b": 70.55e9,
    "llama-3.1-405b": 405.85e9,
    "mixtral-8x7b": 46.70e9,
    "deepseek-v3": 671.0e9,
    "bloom-176b": 176.25e9,
}

ACTIVE = {"mixtral-8x7b": 12.9e9, "qwen3-30b-a3b": 3.3e9, "qwen3-235b-a22b": 22e9, "gpt-oss-120b": 5.1e9}


@pytest.mark.parametrize("name", list(models()))
def test_parameters_agree_with_the_published_count(name: str) -> None:
    """Within 0.5% of what was published, with a source that says where."""
    entry = models()[name]
    model = read_model(name)
    assert model.params == pytest.approx(entry.parameters, rel=0.005)
    assert "https://" in entry.source
    assert model.name == name
    assert model.n_blocks == len([b for b in model.blocks if b.name.startswith("layer.")]) + 2


@pytest.mark.parametrize("name", list(models()))
def test_what_it_was_made_for(name: str) -> None:
    """Every preset knows its longest context; its aliases that were made for another one are aliases of it."""
    entry = models()[name]
    assert 1024 <= read_model(name).longest_context == entry.context
    assert set(entry.contexts) <= set(entry.aliases)
    assert all(read_model(alias).longest_context == tokens for alias, tokens in entry.contexts.items())


@pytest.mark.parametrize(
    ("spelling", "tokens"), [("qwen3-coder-30b-a3b", 262144), ("qwen3:30b-a3b", 40960), ("zai-org/GLM-4.6", 202752)]
)
def test_models_of_one_shape_were_made_for_different_contexts(spelling: str, tokens: int) -> None:
    """Each alias has its own; configuration files of its model that is named there (2026)."""
    assert read_model(spelling).longest_context == tokens


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_headline_counts(name: str, count: int) -> None:
    """The six counts that the project promises."""
    assert read_model(name).params == pytest.approx(count, rel=0.005)


@pytest.mark.parametrize(("name", "count"), ACTIVE.items())
def test_active_parameters_of_experts(name: str, count: int) -> None:
    """Operations per token follow the active parameters that were published (embedding included there)."""
    model = read_model(name)
    active = sum(block.flops_per_token for block in model.blocks) / 2 + model.blocks[0].params
    assert active == pytest.approx(count, rel=0.12)


def test_catalog_is_large_and_varied() -> None:
    """At least 30 presets, dense and sparse, tied and free, with and without windows."""
    read = [read_model(name) for name in models()]
    assert len(read) >= 30
    assert any(model.ties for model in read)
    assert any(block.experts for model in read for block in model.blocks)
    assert any(len({block.kv_window_tokens for block in model.blocks[1:-1]}) == 2 for model in read)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("llama3.1:8b", "llama-3.1-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-v3"),
        ("qwq-32b", "qwen2.5-32b"),
        ("Qwen/Qwen3-Coder-Next", "qwen3-next-80b-a3b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3"),
        ("gemma4:31b", "gemma-4-31b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("deepseek-r1:32b", "qwen2.5-32b"),
        ("deepseek-r1:70b", "llama-3.3-70b"),
        ("qwen3:30b", "qwen3-30b-a3b"),
    ],
)
def test_names_of_repositories_and_usual_spellings(spelling: str, name: str) -> None:
    """Vendors' names and those of other tools lead to the preset of the same shapes."""
    found = preset(spelling)
    assert found is not None
    assert found.name == name


def test_an_alias_keeps_its_name() -> None:
    """A plan for deepseek-r1 says so, with the blocks of deepseek-v3."""
    model = read_model("deepseek-r1")
    assert model.name == "deepseek-r1"
    assert model.blocks == read_model("deepseek-v3").blocks
    assert model.weights == "fp8_block"


def test_unknown_preset_names_the_nearest() -> None:
    """A typing mistake is answered with the preset that was meant."""
    with pytest.raises(InputError, match=r"did you mean 'llama-3\.1-70b'"):
        read_model("llama-3.1-70bb")
    with pytest.raises(InputError, match="no such file"):
        read_model("models/llama.gguf")
    with pytest.raises(InputError, match="expected a preset name"):
        read_model(42)
    with pytest.raises(InputError, match="expected a preset name"):
        read_model("")


def test_names_are_forgiving_and_models_pass_through() -> None:
    """Case and blanks do not matter; a Model is returned as it is."""
    model = read_model(" Llama-3.1-8B ")
    assert isinstance(model, Model)
    assert read_model(model) is model


def test_presets_need_neither_torch_nor_transformers() -> None:
    """What no formula serves ships as it was read: all presets are read without the packages that would read them."""
    program = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from placement.catalog.presets import models\n"
        "from placement.readers.models.read import read_model\n"
        "print(sum(read_model(name).params > 0 for name in models()))\n"
    )
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "PLACEMENT_CACHE_DIR": folder}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
        )
    assert done.stderr == ""
    assert int(done.stdout) == len(models())


def test_readings_are_those_of_the_presets() -> None:
    """There is one file for each preset that no formula serves, and no other."""
    needed = {key_of(entry.config) for entry in models().values() if not isinstance(_by_formulas(entry), Shape)}
    folder = Path(catalog.__file__).parent / "readings"
    assert {file.stem for file in folder.glob("*.json")} == needed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ministral-3-3b", "granite-4.0-h-tiny", "glm-4.7-flash"])
def test_readings_are_what_transformers_makes(name: str) -> None:
    """What ships is what `python -m benchmarks.models.readings --anew` would write."""
    entry = models()[name]
    assert recall(entry.config) == read_library(entry.config)


def _by_formulas(entry: Preset) -> object:
    return from_formulas(entry.config, entry.name)
