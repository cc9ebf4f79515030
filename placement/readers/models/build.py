"""From the parts of an architecture to a `Model`: bytes, operations, ties, and what lies beside the chain."""

from __future__ import annotations

from dataclasses import replace

from placement.question import model as question
from placement.question.model import Block, Extra, Model, Tie

from .mixes import Place
from .parts import PIECES, UNMULTIPLIED, Beside, Layer, Part, Shape, pieces
from .quantization import Quantization, kv_bytes_per_value

TOKEN_BYTES = 4.0
"""A token id on a wire, in bytes."""


def build_model(shape: Shape, name: str, weights: Quantization, kv_dtype: str | None) -> Model:
    """Return the model with one block per layer, an embedding before and a head after them.

    Parameters
    ----------
    shape : Shape
        Its tensors by role and layer.
    name : str
    weights : Quantization
        Format of its weights.
    kv_dtype : str or None
        Number format of its cache.
    """
    kv_bytes = kv_bytes_per_value(kv_dtype, weights)
    number_bytes = activation_bytes(weights.name)
    embed_out = (shape.hidden if shape.handed_on is None else shape.handed_on) * number_bytes
    layers = [
        _layer(number, layer, weights, _place(shape, number), kv_bytes, shape.hidden * number_bytes)
        for number, layer in enumerate(shape.layers)
    ]
    blocks = (_embed(shape, weights, embed_out), *layers, _head(shape, weights))
    extras = tuple(_extra(beside, weights) for beside in shape.beside)
    return Model(
        name=name,
        blocks=blocks,
        forbidden_cuts=shape.cuts,
        ties=_ties(shape, weights, len(blocks)),
        input_bytes_per_token=TOKEN_BYTES,
        weights=weights.name,
        compute_dtype=weights.compute_dtype,
        notes=(*shape.notes, *_homes(extras, blocks)),
        extras=extras,
    )


def activation_bytes(weights: str) -> float:
    """Return the bytes of one number between blocks: activations are in 16 bits unless the model is in 32."""
    return 4.0 if weights == "float32" else 2.0


def block_parts(
    block: Block, shares: dict[str, float], operations: dict[str, float], handed_on: float
) -> tuple[question.Part, ...]:
    """Return the parts of a block: the cache and the attention scores belong to its attention.

    Parameters
    ----------
    block : Block
        The whole.
    shares : dict of str to float
        Bytes of weights by part.
    operations : dict of str to float
        Operations per token by part; those that are missing belong to the attention.
    handed_on : float
        Bytes per token between the parts.
    """
    names = [name for name in PIECES if name in shares] or ["ffn"]
    first, rest = names[0], block.flops_per_token - sum(operations.values())
    found = []
    for name in names:
        own = question.Part(
            name=name,
            weight_bytes=shares.get(name, 0.0),
            flops_per_token=operations.get(name, 0.0) + (rest if name == first else 0.0),
            handed_on_bytes_per_token=block.activation_bytes_per_token if name == names[-1] else handed_on,
        )
        if name == first:
            own = replace(
                own,
                attention_flops_per_token=block.attention_flops_per_token,
                kv_bytes_per_token=block.kv_bytes_per_token,
                kept_bytes_per_token=block.kept_bytes_per_token,
                state_bytes=block.state_bytes,
            )
        found.append(own)
    return tuple(found)


def _place(shape: Shape, layer: int = 0) -> Place:
    experts = max((entry.experts for entry in shape.layers), default=0)
    return Place(layer, max(1, len(shape.layers)), experts, shape.kv_ratio, shape.tied)


def _layer(number: int, layer: Layer, weights: Quantization, at: Place, kv_bytes: float, hidden: float) -> Block:
    parts = tuple(part._replace(name=f"layers.{number}.{part.name}") if part.name else part for part in layer.parts)
    routed = tuple(part for part in parts if part.routed)
    kept = layer.kept_bytes
    number_bytes = activation_bytes(weights.name)
    block = Block(
        name=f"layer.{number}",
        weight_bytes=weights.bytes_of(parts, at),
        kind=layer.kind,
        kv_bytes_per_token=layer.kv_values * kv_bytes + (kept if layer.window is None else 0.0),
        kv_window_tokens=layer.window,
        state_bytes=layer.state_bytes,
        activation_bytes_per_token=hidden if layer.handed_on is None else layer.handed_on * number_bytes,
        flops_per_token=2.0 * layer.active_params + layer.state_flops,
        attention_flops_per_token=2.0 * layer.score_dims,
        expert_bytes=weights.bytes_of(routed, at),
        experts=layer.experts,
        experts_per_token=layer.experts_per_token,
        params=_count(parts),
        kept_bytes_per_token=kept if layer.window is not None else 0.0,
    )
    shares: dict[str, float] = {}
    operations: dict[str, float] = {}
    for part, piece in zip(parts, pieces(parts), strict=True):
        shares[piece] = shares.get(piece, 0.0) + weights.bytes_of((part,), at)
        operations[piece] = operations.get(piece, 0.0) + 2.0 * layer.active(part)
    return replace(block, parts=block_parts(block, shares, operations, hidden))


def _embed(shape: Shape, weights: Quantization, handed_on: float) -> Block:
    multiplied = [part for part in shape.embed if part.role not in UNMULTIPLIED and part.role != "embed"]
    return Block(
        name="embed",
        weight_bytes=weights.bytes_of(shape.embed, _place(shape)),
        kind="embed",
        activation_bytes_per_token=handed_on,
        flops_per_token=2.0 * _all(multiplied),
        lookup=True,
        params=_count(shape.embed),
    )


def _head(shape: Shape, weights: Quantization) -> Block:
    matrices = [part for part in shape.head if part.role not in UNMULTIPLIED]
    own = tuple(part for part in shape.head if not (shape.tied and part.role == "head"))
    return Block(
        name="head",
        weight_bytes=weights.bytes_of(shape.head, _place(shape)),
        kind="head",
        activation_bytes_per_token=TOKEN_BYTES,
        flops_per_token=2.0 * _all(matrices),
        last_token_only=True,
        params=_count(own),
    )


def _ties(shape: Shape, weights: Quantization, blocks: int) -> tuple[Tie, ...]:
    place = _place(shape)
    found = []
    if shape.tied:
        shared = weights.bytes_of(tuple(part for part in shape.head if part.role == "head"), place)
        found.append(Tie((0, blocks - 1), copies=True, shared_bytes=shared))
    for entry in shape.shared:
        found.append(Tie(entry.blocks, copies=entry.copies, shared_bytes=weights.bytes_of((entry.part,), place)))
    return tuple(found)


def _extra(beside: Beside, weights: Quantization) -> Extra:
    # Towers stay in 16 bits: quantizations are of the language model.
    size = sum(part.params for part in beside.parts) * (4.0 if weights.name == "float32" else 2.0)
    return Extra(beside.name, beside.kind, size, beside.block, _all(list(beside.parts)))


def _homes(extras: tuple[Extra, ...], blocks: tuple[Block, ...]) -> tuple[str, ...]:
    """Return a note of where the extras are."""
    return tuple(
        f"{extra.weight_bytes / 1e9:.2f} GB of {extra.name} ({extra.kind}) lie in the memory of the node that holds "
        f"{blocks[extra.block].name}."
        for extra in extras
        if extra.weight_bytes >= 5e6
    )


def _all(parts: list[Part]) -> int:
    return sum(part.params for part in parts)


def _count(parts: tuple[Part, ...]) -> int:
    return sum(part.params for part in parts if not part.again)
