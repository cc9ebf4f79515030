"""True bytes of tensors, summed over blocks, and put into a model that a configuration describes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from placement.errors import InputError
from placement.question.model import Block, Extra, Model, Tie

from .build import homes
from .language import LanguageModel, find_language_model
from .names import EMBED, HEAD, is_buffer, is_lm_head, is_routed


class Tensor(NamedTuple):
    """A stored tensor.

    Attributes
    ----------
    name : str
    bytes : float
    dtype : str
        Name of its number format.
    shape : tuple of int
        Its sizes, where they are known.
    """

    name: str
    bytes: float
    dtype: str
    shape: tuple[int, ...] = ()


@dataclass(slots=True)
class Sums:
    """What one block holds: bytes, of which in routed experts, of which tied."""

    bytes: float = 0.0
    routed: float = 0.0


@dataclass(frozen=True, slots=True)
class Census:
    """Stored bytes by block.

    Attributes
    ----------
    blocks : mapping of int to Sums
        By layer number, `EMBED` and `HEAD`.
    embedding_bytes : float
        Bytes of the token embedding.
    has_lm_head : bool
        The LM head is stored as a tensor of its own.
    dtype : str
        Number format of the largest share of the bytes.
    elsewhere : mapping of str to float
        Bytes that are no part of the language model, by the module that holds them.
    """

    blocks: Mapping[int, Sums]
    embedding_bytes: float
    has_lm_head: bool
    dtype: str
    elsewhere: Mapping[str, float]


def census(tensors: Sequence[Tensor], layers: int) -> Census:
    """Return the bytes of each block; towers and layers beyond `layers` (multi-token prediction) count as elsewhere."""
    language = find_language_model((tensor.name for tensor in tensors), layers)
    blocks: dict[int, Sums] = {EMBED: Sums(), HEAD: Sums(), **{at: Sums() for at in range(layers)}}
    shares: dict[str, float] = {}
    elsewhere: dict[str, float] = {}
    embedding, has_head = 0.0, False
    for tensor in tensors:
        block = language.block_of(tensor.name)
        if block is None:
            if not is_buffer(tensor.name):
                where = module_of(tensor.name, language)
                elsewhere[where] = elsewhere.get(where, 0.0) + tensor.bytes
            continue
        blocks[block].bytes += tensor.bytes
        if is_routed(tensor.name):
            blocks[block].routed += tensor.bytes
        if block == EMBED:
            embedding = max(embedding, tensor.bytes)
        has_head = has_head or (block == HEAD and is_lm_head(tensor.name))
        shares[tensor.dtype] = shares.get(tensor.dtype, 0.0) + tensor.bytes
    dtype = max(shares, key=lambda name: shares[name]) if shares else ""
    return Census(blocks, embedding, has_head, dtype, elsewhere)


def left_out(total: float, modules: Sequence[str]) -> str:
    """Return what a plan says of `total` bytes in modules that are no part of the language model."""
    named = ", ".join(modules[:3]) + (" and others" if len(modules) > 3 else "")
    where = f" ({named})" if named else ""
    return f"{total / 1e9:.2f} GB of other towers, prediction modules or tables{where} are left out."


def module_of(tensor: str, language: LanguageModel) -> str:
    """Return the module that a tensor outside of the language model belongs to, as a plan names it."""
    if tensor.startswith(language.root) and (layer := re.match(r"[a-z_]+\.\d+", tensor[len(language.root) :])):
        return language.root + layer.group(0)
    words = tensor.split(".")
    depth = 2 if len(words) > 3 and words[0] in ("model", "language_model") else 1
    return ".".join(words[:depth])


def with_true_bytes(model: Model, found: Census, where: str) -> Model:
    """Return `model` with the bytes that are stored, and the LM head counted as a copy when it is not stored."""
    layers = model.n_blocks - 2
    empty = [
        model.blocks[at + 1].name for at in range(layers) if not found.blocks[at].bytes and model.blocks[at + 1].params
    ]
    if empty or not found.blocks[EMBED].bytes:
        missing = empty[0] if empty else "embed"
        raise InputError(f"no tensor of the block '{missing}' was found (names of an unknown architecture?)", where)
    copied = 0.0 if found.has_lm_head else found.embedding_bytes
    blocks = (
        replace(model.blocks[0], weight_bytes=found.blocks[EMBED].bytes),
        *(_with(model.blocks[at + 1], found.blocks[at]) for at in range(layers)),
        replace(model.blocks[-1], weight_bytes=found.blocks[HEAD].bytes + copied),
    )
    ties = (Tie((0, layers + 1), copies=True, shared_bytes=copied),) if copied else ()
    extras, elsewhere = _stored_extras(model, found.elsewhere)
    notes = (*(note for note in model.notes if note not in homes(model.extras, model.blocks)), *homes(extras, blocks))
    if elsewhere:
        largest = sorted(elsewhere, key=lambda name: (-elsewhere[name], name))
        notes = (*notes, left_out(sum(elsewhere.values()), largest))
    return replace(model, blocks=blocks, ties=ties, notes=notes, extras=extras)


def _stored_extras(model: Model, elsewhere: Mapping[str, float]) -> tuple[tuple[Extra, ...], dict[str, float]]:
    """Return the extras that are stored, with their true bytes, and what else lies beside the language model."""
    rest = dict(elsewhere)
    extras = []
    for extra in model.extras:
        last = extra.name.rpartition(".")[2]
        stored = [name for name in rest if name.rpartition(".")[2] == last]
        if stored:
            extras.append(replace(extra, weight_bytes=sum(rest.pop(name) for name in stored)))
    return tuple(extras), rest


def _with(block: Block, found: Sums) -> Block:
    return block.weighing(found.bytes, found.routed)
