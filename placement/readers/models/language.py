"""Which tensors of a checkpoint are the language model's: told by the prefix of its layers, not by a list of towers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .names import EMBED, HEAD, block_of

_TOKENS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|token_embd|tok_emb)\.")
_LIST = re.compile(r"^((?:[^.]+\.)*?)(?:layers|h|blocks|blk|block|layer|decoder_layers)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """Where the language model lies among the modules of a checkpoint.

    Attributes
    ----------
    root : str
        What the names of its layers begin with, up to the list of layers: "model." or "llm.model.".
    layers : int
        Decoder layers; further ones under the same root predict tokens ahead.
    """

    root: str
    layers: int

    def block_of(self, tensor: str) -> int | None:
        """Return the layer of a tensor, `EMBED` or `HEAD`; None for what is no part of the language model."""
        found = _LIST.match(tensor)
        if found:
            inside = found.group(1) == self.root and int(found.group(2)) < self.layers
            return block_of(f"layers.{found.group(2)}.{tensor[found.end() :]}") if inside else None
        own = tensor.startswith(self.root)
        rest = (
            tensor[len(self.root) :]
            if own
            else next((tensor[len(up) :] for up in _above(self.root) if tensor.startswith(up)), tensor)
        )
        block = block_of(rest)
        if block is None or block >= 0:
            return None
        return block if _begins(rest, block) else None

    def is_own(self, tensor: str) -> bool:
        """Tell whether a tensor lies under the root, outside of the list of layers."""
        return tensor.startswith(self.root) and bool(self.root) and _LIST.match(tensor) is None


def find_language_model(names: Iterable[str], layers: int) -> LanguageModel:
    """Return where the language model lies.

    Parameters
    ----------
    names : iterable of str
        Every tensor of the checkpoint.
    layers : int
        Decoder layers that the configuration states.

    Returns
    -------
    LanguageModel
        The list with that many layers, or the nearest; of several, the one beside the embedding of tokens.
    """
    numbers: dict[str, set[int]] = {}
    embeddings: set[str] = set()
    for name in names:
        found = _LIST.match(name)
        if found:
            numbers.setdefault(found.group(1), set()).add(int(found.group(2)))
        elif _TOKENS.search(name):
            embeddings.add(name)
    if not any(len(found) >= layers for found in numbers.values()):
        inside = [name.rsplit(".", 2)[0] + "." for name in embeddings if name.count(".") > 1]
        return LanguageModel(min(inside, default="model."), layers)

    def fitness(root: str) -> tuple[bool, bool, int, str]:
        count = len(numbers[root])
        beside = any(name.startswith(root) for name in embeddings)
        return count < layers, not beside, abs(count - layers), root

    return LanguageModel(min(numbers, key=fitness), layers)


def _above(root: str) -> list[str]:
    """Return what stands above a root: of "a.b.", "a." and the empty prefix."""
    words = root.split(".")[:-1]
    return [".".join(words[:end]) + "." * (end > 0) for end in range(len(words) - 1, -1, -1)]


def _begins(rest: str, block: int) -> bool:
    """Tell whether the first word of a name is what puts it into the embedding or the head."""
    first = rest.split(".", 1)[0]
    return block_of(f"{first}.weight") == block and block in (EMBED, HEAD)
