"""Tensors of a transformer by role and size: the common form of every architecture, before bytes are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Part(NamedTuple):
    """Tensors of one role in one block.

    Attributes
    ----------
    role : str
        "q", "k", "v", "qkv", "kv_a", "kv_b", "o", "mixer", "conv", "gate", "up", "down", "router", "embed", "position",
        "head" for matrices; "norm", "bias" and "state" for vectors.
    params : int
        Number of parameters.
    row : int
        Length of a row: block formats need it to be a multiple of their block.
    routed : bool
        The tensors belong to routed experts.
    name : str
        Name of the tensor in the checkpoint, where the reader knows it; else empty.
    piece : str
        The part of the block that it belongs to ("attention", "ffn", "experts"); empty: its role tells.
    again : bool
        An earlier block holds the same tensor.
    """

    role: str
    params: int
    row: int
    routed: bool = False
    name: str = ""
    piece: str = ""
    again: bool = False


VECTORS = frozenset({"norm", "bias", "position"})
"""Roles that are added or looked up, never multiplied as matrices."""

UNMULTIPLIED = VECTORS | {"state", "embed"}
"""Roles whose parameters cost no multiplication per token."""

PIECES = ("attention", "ffn", "experts")
"""The parts of a layer in the order in which a token meets them."""

_ATTENTION = frozenset({"q", "k", "v", "qkv", "kv_a", "kv_b", "o", "mixer", "conv", "state"})


def pieces(parts: tuple[Part, ...]) -> tuple[str, ...]:
    """Return the piece of each part of a layer; norms and biases go with the matrix before them."""
    found: list[str] = []
    for part in parts:
        if part.piece:
            found.append(part.piece)
        elif part.routed:
            found.append("experts")
        elif part.role in _ATTENTION:
            found.append("attention")
        elif part.role in VECTORS and found:
            found.append("ffn" if found[-1] == "experts" else found[-1])
        else:
            found.append("ffn")
    return tuple(found)


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
    state_bytes : float
        Bytes of cache per sequence that do not grow.
    kept_bytes : float
        Bytes of cache per token that no window drops, beside `kv_values`: entries that sum others up, keys of an index.
    state_flops : float
        Operations per token on the state.
    handed_on : float or None
        Numbers per token that pass to the next block, where they are not the hidden size.
    """

    parts: tuple[Part, ...]
    kind: str = "dense"
    kv_values: float = 0
    score_dims: float = 0
    window: int | None = None
    experts: int = 0
    experts_per_token: int = 0
    state_bytes: float = 0.0
    kept_bytes: float = 0.0
    state_flops: float = 0.0
    handed_on: float | None = None

    @property
    def active_params(self) -> float:
        """Matrix parameters that one token meets."""
        return sum(self.active(part) for part in self.parts)

    def active(self, part: Part) -> float:
        """Parameters of `part` that one token multiplies with."""
        if part.role in UNMULTIPLIED:
            return 0.0
        return part.params * (self.experts_per_token / self.experts if self.experts and part.routed else 1.0)


@dataclass(frozen=True, slots=True)
class Shared:
    """A tensor that several blocks hold.

    Attributes
    ----------
    blocks : tuple of int
        The blocks, the embedding being number 0.
    part : Part
        The tensor, as the last of them uses it.
    copies : bool
        Each node may hold a copy of its own.
    """

    blocks: tuple[int, ...]
    part: Part
    copies: bool = True


@dataclass(frozen=True, slots=True)
class Beside:
    """Tensors of a module beside the chain: a vision tower, a draft head.

    Attributes
    ----------
    name : str
        Of the module.
    kind : str
        "vision", "audio", "draft" or "other".
    parts : tuple of Part
    block : int
        The block whose node holds it.
    """

    name: str
    kind: str
    parts: tuple[Part, ...]
    block: int = 0


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
    handed_on : float or None
        Numbers per token that the embedding hands on, where they are not the hidden size.
    shared : tuple of Shared
        Tensors that several blocks hold, the tied head apart.
    cuts : tuple of int
        Boundaries before these blocks are not possible.
    beside : tuple of Beside
        Modules beside the chain.
    """

    hidden: int
    layers: tuple[Layer, ...]
    embed: tuple[Part, ...]
    head: tuple[Part, ...]
    tied: bool
    kv_ratio: float = 1.0
    notes: tuple[str, ...] = ()
    handed_on: float | None = None
    shared: tuple[Shared, ...] = ()
    cuts: tuple[int, ...] = ()
    beside: tuple[Beside, ...] = ()


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
