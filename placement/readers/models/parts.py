"""Tensors of a transformer by role and size: the common form of every architecture, before bytes are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Part(NamedTuple):
    """Tensors of one role in one block.

    Attributes
    ----------
    role : str
        "q", "k", "v", "qkv", "o", "gate", "up", "down", "router", "embed", "position", "head" for matrices;
        "norm" and "bias" for vectors.
    params : int
        Number of parameters.
    row : int
        Length of a row: block formats need it to be a multiple of their block.
    routed : bool
        The tensors belong to routed experts.
    name : str
        Name of the tensor in the checkpoint, where the reader knows it; else empty.
    """

    role: str
    params: int
    row: int
    routed: bool = False
    name: str = ""


VECTORS = frozenset({"norm", "bias", "position"})
"""Roles that are added or looked up, never multiplied as matrices."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer.

    Attributes
    ----------
    parts : tuple of Part
    kind : str
        "dense" or "moe".
    kv_values : int
        Numbers that the KV cache holds per token.
    score_dims : int
        Heads x (query-key dimensions + value dimensions): multiply-adds per token and token of context.
    window : int or None
        Tokens of a sliding window.
    experts, experts_per_token : int
        Routed experts, and how many of them serve one token.
    """

    parts: tuple[Part, ...]
    kind: str = "dense"
    kv_values: int = 0
    score_dims: int = 0
    window: int | None = None
    experts: int = 0
    experts_per_token: int = 0

    @property
    def active_params(self) -> float:
        """Matrix parameters that one token meets."""
        share = self.experts_per_token / self.experts if self.experts else 1.0
        return sum(part.params * (share if part.routed else 1.0) for part in self.parts if part.role not in VECTORS)


@dataclass(frozen=True, slots=True)
class Shape:
    """A whole model as parts.

    Attributes
    ----------
    hidden : int
        Numbers per token between layers.
    layers : tuple of Layer
    embed, head : tuple of Part
        Before the first layer and after the last; of a tied model, `head` still lists the tied matrix.
    tied : bool
        The LM head is the embedding matrix.
    kv_ratio : float
        Query heads per KV head (mixed GGUF formats depend on it).
    notes : tuple of str
        What had to be assumed.
    """

    hidden: int
    layers: tuple[Layer, ...]
    embed: tuple[Part, ...]
    head: tuple[Part, ...]
    tied: bool
    kv_ratio: float = 1.0
    notes: tuple[str, ...] = ()


def linear(
    role: str, inputs: int, outputs: int, *, bias: bool = False, copies: int = 1, routed: bool = False
) -> tuple[Part, ...]:
    """Return the parts of `copies` linear maps from `inputs` to `outputs` numbers."""
    matrix = Part(role, inputs * outputs * copies, inputs, routed)
    return (matrix, Part("bias", outputs * copies, outputs, routed)) if bias else (matrix,)


def norm(size: int, *, bias: bool = False, copies: int = 1) -> tuple[Part, ...]:
    """Return the part of `copies` norms over `size` numbers."""
    return (Part("norm", size * copies * (2 if bias else 1), size),)


def attention(
    hidden: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    *,
    bias: bool = False,
    out_bias: bool = False,
    fused: bool = False,
) -> tuple[Part, ...]:
    """Return the projections of multi-head, grouped-query or multi-query attention."""
    out = linear("o", heads * head_dim, hidden, bias=out_bias)
    if fused:
        return (*linear("qkv", hidden, (heads + 2 * kv_heads) * head_dim, bias=bias), *out)
    key_value = [part for role in "kv" for part in linear(role, hidden, kv_heads * head_dim, bias=bias)]
    return (*linear("q", hidden, heads * head_dim, bias=bias), *key_value, *out)


def ffn(
    hidden: int, inner: int, *, gated: bool = True, bias: bool = False, copies: int = 1, routed: bool = False
) -> tuple[Part, ...]:
    """Return the maps of a feed-forward network, or of `copies` experts."""
    roles = ("gate", "up") if gated else ("up",)
    inward = [p for r in roles for p in linear(r, hidden, inner, bias=bias, copies=copies, routed=routed)]
    return (*inward, *linear("down", inner, hidden, bias=bias, copies=copies, routed=routed))
