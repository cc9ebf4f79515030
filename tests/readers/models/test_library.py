"""Configurations as transformers builds them: types, what is kept of a reading, and errors for people."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.models.compare import compared
from placement.errors import InputError
from placement.readers.models.config import read_shape
from placement.readers.models.library.language import read_library
from placement.readers.models.remembered import from_plain, key_of, recall, remember, to_plain
from tests.sampled import some_quick

SAMPLE = (
    "afmoe",
    "apertus",
    "aria_text",
    "bailing_hybrid",
    "bamba",
    "bloom",
    "cohere2",
    "deepseek_v2",
    "doge",
    "ernie4_5_moe",
    "falcon",
    "falcon_h1",
    "falcon_mamba",
    "gemma2",
    "gemma3_text",
    "gemma4_text",
    "glm4_moe",
    "gpt2",
    "gpt_oss",
    "hunyuan_v1_moe",
    "jamba",
    "kimi_linear",
    "lfm2",
    "llama",
    "longcat_flash",
    "mamba",
    "mamba2",
    "mimo_v2_flash",
    "minimax",
    "minimax_m2",
    "mistral",
    "mixtral",
    "nemotron_h",
    "olmo2",
    "olmoe",
    "opt",
    "phi3",
    "qwen2",
    "qwen3_5_text",
    "qwen3_moe",
    "qwen3_next",
    "recurrent_gemma",
    "xlstm",
)
"""Types of causal language models; `python -m benchmarks.models.against_transformers` compares all of them."""


@pytest.mark.parametrize("kind", some_quick(SAMPLE, 8))
def test_parameters_and_cache_of_a_type(kind: str) -> None:
    """Four layers of a type: parameters within 0.5%, the cache within 1% of the module's own at 64 and 9,000 tokens."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

    name = CLASSES[kind]
    row = compared(kind, name if isinstance(name, str) else name[0], {"num_hidden_layers": 4})
    assert not row.refused
    assert not row.broken
    assert row.params_error < 0.005
    assert row.cache_error < 0.01


NEXT = {
    "architectures": ["Qwen3NextForCausalLM"],
    "model_type": "qwen3_next",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 128,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
}


def test_a_second_reading_comes_from_a_file_and_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is kept by the hash of the configuration, whatever the numbers are stored in."""
    monkeypatch.setenv("PLACEMENT_CACHE_DIR", str(tmp_path))
    shape = read_shape(NEXT)
    assert recall({**NEXT, "torch_dtype": "bfloat16", "transformers_version": "5.0"}) == shape
    (tmp_path / "config.json").write_text(json.dumps(NEXT))
    code = (
        "import sys; from placement.readers.models.config import read_config;"
        f"print(read_config({str(tmp_path / 'config.json')!r}).n_blocks, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "False"]


def test_a_broken_file_of_a_reading_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is cut short, or of another version, is as good as none."""
    monkeypatch.setenv("PLACEMENT_CACHE_DIR", str(tmp_path))
    shape = read_library(NEXT)
    assert from_plain(json.loads(json.dumps(to_plain(shape)))) == shape
    remember(NEXT, shape)
    file = tmp_path / "placement" / "models" / f"{key_of(NEXT)}.json"
    stored = json.loads(file.read_text())
    file.write_text(json.dumps({**stored, "transformers": "4.1"}))
    assert recall(NEXT) is None
    for text in ("{", "[]", "{}", json.dumps({**stored, "shape": {"hidden": 1}}), "[" * 10_000):
        file.write_text(text)
        assert recall(NEXT) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"model_type": "qwen9", "architectures": ["Qwen9ForCausalLM"]},
            "model_type: 'Qwen9ForCausalLM' is not known to",
        ),
        (
            {"model_type": "own", "architectures": ["OwnForCausalLM"], "auto_map": {"AutoModel": "own.Own"}},
            "never done",
        ),
        ({"hidden_size": None}, "config.json: hidden_size"),
        ({"hidden_size": -64}, "config.json: hidden_size: expected a positive whole number, got -64"),
        ({"num_hidden_layers": 10_000}, "num_hidden_layers: expected at most 1000 layers, got 10000"),
        ({"num_experts": 10**9}, "num_experts: expected at most 100000"),
        ({"num_experts": 2, "num_experts_per_tok": 5}, "cannot be run without data"),
        ({"linear_key_head_dim": "8"}, "config.json: is refused by transformers"),
        ({"model_type": "vit", "architectures": ["ViTModel"]}, "ViTModel takes pixel_values and no tokens"),
        ({"text_config": [1]}, "config.json: text_config: expected an object"),
        ({"rope_scaling": {"a": {"b": {}}}, "hidden_size": 10**12}, "up to 1000000000"),
    ],
)
def test_mistakes_are_one_line(change: Any, expected: Any) -> None:
    """What cannot be read is one line with the file, the key and the value; nothing hangs and nothing is guessed."""
    config = {key: value for key, value in {**NEXT, **change}.items() if value is not None}
    with pytest.raises(InputError) as caught:
        read_shape(config)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_unknown_type_of_a_known_architecture_is_noted() -> None:
    """Checkpoints whose code came with them often are a known class under another name: read so, and said."""
    shape = read_shape({**NEXT, "model_type": "mine"})
    assert any(
        "'mine' is not known to transformers: read as its architecture, Qwen3Next" in note for note in shape.notes
    )
    assert not any("is not known" in note for note in read_shape(NEXT).notes)


def test_the_example_of_the_page_says_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/architectures.md prints what its page shows."""
    page = (Path(__file__).parents[3] / "docs" / "architectures.md").read_text(encoding="utf-8")
    source, shown = page.split("```python\n")[1].split("```\n\n```text\n")
    exec(source, {})
    assert capsys.readouterr().out.strip() == shown.split("```")[0].strip()
