"""From the parts of an architecture to a `Model`: bytes, operations, ties."""

from __future__ import annotations

from placement.question.model import Block, Model, Tie

from .mixes import Place
from .parts import VECTORS, Layer, Part, Shape
from .quantization import Quantization, kv_bytes_per_value

TOKEN_BYTES = 4.0
"""A token id on a wire, in bytes."""


def build_model(shape: Shape, name: str, weights: Quantization, kv_dtype: str | None) -> Model:
    """Return the model with one block per layer, an embedding before and a head after them."""
    kv_bytes = kv_bytes_per_value(kv_dtype, weights)
    handed_on = shape.hidden * activation_bytes(weights.name)
    layers = [
        _layer(number, layer, weights, _place(shape, number), kv_bytes, handed_on)
        for number, layer in enumerate(shape.layers)
    ]
    blocks = (_embed(shape, weights, handed_on), *layers, _head(shape, weights))
    return Model(
        name=name,
        blocks=blocks,
        ties=(Tie((0, len(blocks) - 1), copies=True, shared_bytes=_tied_bytes(shape, weights)),) if shape.tied else (),
        input_bytes_per_token=TOKEN_BYTES,
        weights=weights.name,
        compute_dtype=weights.compute_dtype,
        notes=shape.notes,
    )


def activation_bytes(weights: str) -> float:
    """Return the bytes of one number between blocks: activations are in 16 bits unless the model is in 32."""
    return 4.0 if weights == "float32" else 2.0


def _place(shape: Shape, layer: int = 0) -> Place:
    experts = max((entry.experts for entry in shape.layers), default=0)
    sparse = bool(shape.layers) and shape.layers[layer].experts > 0
    return Place(layer, max(1, len(shape.layers)), experts, shape.kv_ratio, shape.tied, sparse)


def _layer(number: int, layer: Layer, weights: Quantization, at: Place, kv_bytes: float, handed_on: float) -> Block:
    routed = tuple(part for part in layer.parts if part.routed)
    return Block(
        name=f"layer.{number}",
        weight_bytes=weights.bytes_of(layer.parts, at),
        kind=layer.kind,
        kv_bytes_per_token=layer.kv_values * kv_bytes,
        kv_window_tokens=layer.window,
        activation_bytes_per_token=handed_on,
        flops_per_token=2.0 * layer.active_params,
        attention_flops_per_token=2.0 * layer.score_dims,
        expert_bytes=weights.bytes_of(routed, at),
        experts=layer.experts,
        experts_per_token=layer.experts_per_token,
        params=_count(layer.parts),
    )


def _embed(shape: Shape, weights: Quantization, handed_on: float) -> Block:
    return Block(
        name="embed",
        weight_bytes=weights.bytes_of(shape.embed, _place(shape)),
        kind="embed",
        activation_bytes_per_token=handed_on,
        lookup=True,
        params=_count(shape.embed),
    )


def _head(shape: Shape, weights: Quantization) -> Block:
    matrices = [part for part in shape.head if part.role not in VECTORS]
    own = tuple(part for part in shape.head if not (shape.tied and part.role == "head"))
    return Block(
        name="head",
        weight_bytes=weights.bytes_of(shape.head, _place(shape)),
        kind="head",
        activation_bytes_per_token=TOKEN_BYTES,
        flops_per_token=2.0 * _count(matrices),
        last_token_only=True,
        params=_count(own),
    )


def _tied_bytes(shape: Shape, weights: Quantization) -> float:
    return weights.bytes_of(tuple(part for part in shape.head if part.role == "head"), _place(shape))


def _count(parts: tuple[Part, ...] | list[Part]) -> int:
    return sum(part.params for part in parts)
