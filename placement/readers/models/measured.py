"""True bytes of tensors, summed over blocks, and put into a model that a configuration describes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from placement.errors import InputError
from placement.question.model import Block, Model, Tie

from .names import EMBED, HEAD, block_of, is_lm_head, is_other_tower, is_routed


class Tensor(NamedTuple):
    """A stored tensor.

    Attributes
    ----------
    name : str
    bytes : float
    dtype : str
        Name of its number format.
    """

    name: str
    bytes: float
    dtype: str


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
    elsewhere : float
        Bytes in other towers or under unknown names.
    """

    blocks: Mapping[int, Sums]
    embedding_bytes: float
    has_lm_head: bool
    dtype: str
    elsewhere: float


def census(tensors: Iterable[Tensor], layers: int) -> Census:
    """Return the bytes of each block; layers beyond `layers` (multi-token prediction) count as elsewhere."""
    blocks: dict[int, Sums] = {EMBED: Sums(), HEAD: Sums(), **{at: Sums() for at in range(layers)}}
    shares: dict[str, float] = {}
    embedding = elsewhere = 0.0
    has_head = False
    for tensor in tensors:
        block = block_of(tensor.name)
        if block is None or block >= layers:
            elsewhere += tensor.bytes
            continue
        blocks[block].bytes += tensor.bytes
        if is_routed(tensor.name):
            blocks[block].routed += tensor.bytes
        if block == EMBED and not is_other_tower(tensor.name):
            embedding = max(embedding, tensor.bytes)
        has_head = has_head or (block == HEAD and is_lm_head(tensor.name))
        shares[tensor.dtype] = shares.get(tensor.dtype, 0.0) + tensor.bytes
    dtype = max(shares, key=lambda name: shares[name]) if shares else ""
    return Census(blocks, embedding, has_head, dtype, elsewhere)


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
    notes = model.notes
    if found.elsewhere:
        left_out = f"{found.elsewhere / 1e9:.2f} GB"
        notes = (*notes, f"{left_out} of other towers, prediction modules or tables in the files are left out.")
    return replace(model, blocks=blocks, ties=ties, notes=notes)


def _with(block: Block, found: Sums) -> Block:
    return block.weighing(found.bytes, found.routed)
