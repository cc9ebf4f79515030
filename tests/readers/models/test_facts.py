"""The context that a model was made for, as configurations of each style state it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.readers.models.config import read_config
from placement.readers.models.facts import longest_context, stretched

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
DEEPSEEK = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"max_position_embeddings": 131072}, 131072),
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 8192}, "max_position_embeddings": 77}, 8192),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),
        # Qwen with YaRN switched on: the stated length is the one before.
        ({"max_position_embeddings": 40960, "rope_scaling": YARN}, 131072),
        # DeepSeek-V3: the stated length is the one after.
        ({"max_position_embeddings": 163840, "rope_scaling": DEEPSEEK}, 163840),
        ({"max_position_embeddings": 163840, "rope_parameters": {"full_attention": YARN}}, 163840),
        # Llama 3.1 and Phi-3: the factor is of frequencies, the stated length is what was trained.
        ({"max_position_embeddings": 131072, "rope_scaling": {**YARN, "rope_type": "llama3", "factor": 32.0}}, 131072),
        ({"max_position_embeddings": 16384, "rope_scaling": {"type": "linear", "factor": 4.0}}, 16384),
        ({"model_type": "gemma3_text"}, 131072),
        ({}, 0),
        ({"max_position_embeddings": "long"}, 0),
        ({"max_position_embeddings": 2048, "rope_scaling": "yarn"}, 2048),
    ],
)
def test_what_configurations_state(config: dict[str, Any], tokens: int) -> None:
    """Names of the key, towers beside the model, scaled positions that count from an original length."""
    assert longest_context(config) == tokens


@given(st.one_of(st.none(), st.text(), st.floats(), st.integers()), st.one_of(st.floats(), st.integers(), st.text()))
def test_whatever_is_stated_is_a_length_or_none(value: Any, factor: Any) -> None:
    """Any content of the keys gives a number of tokens, 0 where it tells none."""
    found = stretched(value, "yarn", factor, value)
    assert isinstance(found, int)
    assert 0 <= found <= 10**9


def test_a_configuration_that_is_read_has_it() -> None:
    """The model of a file knows what it was made for."""
    llama = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "vocab_size": 100,
        "tie_word_embeddings": False,
    }
    assert read_config({**llama, "max_position_embeddings": 4096}).longest_context == 4096
    assert read_config(llama).longest_context == 0
