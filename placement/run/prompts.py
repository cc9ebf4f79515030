"""Text to token ids and back, with the tokenizer of the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .gguf_to_folder import checkpoint_folder


def tokenizer_of(model: str | Path) -> Any:
    """Return the tokenizer of a checkpoint folder or .gguf file."""
    from transformers import AutoTokenizer

    folder = checkpoint_folder(Path(model))
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        line = str(error).strip().splitlines()[0]
        raise InputError(f"no tokenizer for a text prompt: give token ids ({line})", str(folder)) from None


def token_ids(model: str | Path, prompts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the token ids of text prompts."""
    tokenizer = tokenizer_of(model)
    return [tuple(int(token) for token in tokenizer(text)["input_ids"]) for text in prompts]


def texts(model: str | Path, tokens: Sequence[Sequence[int]]) -> list[str]:
    """Return the text of generated tokens."""
    tokenizer = tokenizer_of(model)
    return [str(tokenizer.decode(list(row), skip_special_tokens=True)) for row in tokens]
