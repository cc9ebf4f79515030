"""Mixed GGUF formats: which tensors of a model llama.cpp stores in a wider format than the name says.

The tables are in catalog/ggml.yaml. The choice of the format for each tensor follows llama.cpp's quantization tool
(https://github.com/ggml-org/llama.cpp, src/llama-quant.cpp), keyed by its categories of tensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from placement.catalog.tables import load

from .parts import Part


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor stands in its model, as far as a mixed format cares.

    Attributes
    ----------
    layer, layers : int
        Number of the layer (0 outside of the layers) and of all layers.
    experts : int
        Routed experts of the model.
    kv_ratio : float
        Query heads per KV head.
    tied : bool
        The LM head is the embedding matrix.
    sparse : bool
        The layer has routed experts, so that a matrix outside of these may belong to a shared one.
    """

    layer: int = 0
    layers: int = 1
    experts: int = 0
    kv_ratio: float = 1.0
    tied: bool = False
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Tensors of one role that a mix stores otherwise than its base.

    Attributes
    ----------
    role, condition, block : str
        See catalog/ggml.yaml.
    """

    role: str
    condition: str
    block: str


@dataclass(frozen=True, slots=True)
class Mix:
    """One mixed format.

    Attributes
    ----------
    base : str
        Block format of every matrix that no rule names.
    rules : tuple of Rule
        Of those of one role, the first whose condition holds wins.
    low : bool
        One of the mixes below 3 bits, which have rules of their own for eight experts.
    matrix : bool
        Made with an importance matrix.
    experts, head : str
        Block formats of routed experts and of the LM head, where they differ; else empty.
    """

    base: str
    rules: tuple[Rule, ...]
    low: bool = False
    matrix: bool = False
    experts: str = ""
    head: str = ""

    @property
    def head_block(self) -> str:
        """Block format of the LM head, or of a tied embedding."""
        if self.head or self.low:
            return self.head or "q5_k"
        return "q8_0" if self.base == "q8_0" else "q6_k"


def _more_bits(at: Place) -> bool:
    """Tell whether the layer is in the first or last eighth, or every third one between."""
    eighth = at.layers // 8
    return at.layer < eighth or at.layer >= 7 * at.layers // 8 or (at.layer - eighth) % 3 == 2


CONDITIONS: Mapping[str, Callable[[Place, Mix], bool]] = MappingProxyType(
    {
        "always": lambda at, mix: True,
        "grouped": lambda at, mix: at.kv_ratio >= 4,
        "sparse": lambda at, mix: at.kv_ratio >= 4 or at.experts >= 4,
        "first_8": lambda at, mix: at.layer < at.layers // 8,
        "first_16": lambda at, mix: at.layer < at.layers // 16,
        "below_2": lambda at, mix: at.layer < 2,
        "below_4": lambda at, mix: at.layer < 4,
        "inner": lambda at, mix: at.layers // 8 <= at.layer < 7 * at.layers // 8,
        "more_bits": lambda at, mix: _more_bits(at),
        "eight_more_bits": lambda at, mix: at.experts == 8 and _more_bits(at),
        "plain": lambda at, mix: not mix.matrix,
        "plain_first_8": lambda at, mix: not mix.matrix and at.layer < at.layers // 8,
    }
)
"""Conditions of rules by name."""

_CATEGORIES: Mapping[str, str] = MappingProxyType({"qkv": "v", "kv_b": "v"})
"""Roles that llama.cpp counts among the value projections."""

_UNQUANTIZED = frozenset({"norm", "bias", "router", "position", "conv", "state"})
"""Roles that llama.cpp leaves in 32 bits."""

_WIDE_NAMES = re.compile(r"altup|laurel|per_layer_model_proj")
"""Small matrices that llama.cpp leaves in 16 bits (Gemma 3n and 4)."""

_WIDER_O = frozenset({"q2_k", "q3_k", "q4_k", "iq3_xxs", "iq3_s", "iq4_nl", "iq4_xs"})
"""Bases whose output projections are wider in models of eight experts."""


def _mix(entry: Mapping[str, Any]) -> Mix:
    return Mix(**{**entry, "rules": tuple(Rule(*text.split()) for text in entry["rules"])})


_TABLES = load("ggml.yaml")

BLOCKS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {name: (weights, size) for name, (weights, size) in _TABLES["blocks"].items()}
)
"""Weights per block and bytes per block."""

NARROW_ROWS: Mapping[str, str] = MappingProxyType(dict(_TABLES["narrow"]))
"""What replaces a block that does not divide the row of a tensor."""

MIXES: Mapping[str, Mix] = MappingProxyType({name: _mix(entry) for name, entry in _TABLES["mixes"].items()})
"""Every mixed format by name."""


def bits_per_weight(block: str) -> float:
    """Return the bits that one weight takes in a ggml block format."""
    weights, size = BLOCKS[block]
    return 8.0 * size / weights


def mix_bits(mix: str, part: Part, at: Place) -> float:
    """Return the bits per weight of a tensor under a mixed format."""
    if part.role in _UNQUANTIZED:
        return 32.0
    if _WIDE_NAMES.search(part.name):
        return 16.0
    return bits_per_weight(_fitting(_block(MIXES[mix], part, at), part.row))


def _block(mix: Mix, part: Part, at: Place) -> str:
    """Return the block format that llama.cpp chooses, before it looks whether the rows fit."""
    role = _CATEGORIES.get(part.role, part.role)
    if role == "head" or (role == "embed" and at.tied):
        return mix.head_block if part.row % BLOCKS[mix.base][0] == 0 else "q8_0"
    if part.routed and mix.experts:
        return mix.experts
    if at.experts == 8 and (block := _of_eight_experts(mix, role)):
        return block
    chosen = next((r.block for r in mix.rules if r.role == role and CONDITIONS[r.condition](at, mix)), mix.base)
    if role == "v" and chosen in ("q3_k", "q4_k") and not mix.low and at.layers == 80 and at.kv_ratio == 8:
        return "q5_k"  # llama.cpp's type 70B: this tensor is an eighth of the others there
    return chosen


def _of_eight_experts(mix: Mix, role: str) -> str:
    """Return the wider format of a tensor in a model of eight experts; empty where there is no such rule."""
    if mix.low:
        return {"v": "q4_k", "k": "q4_k", "o": "q5_k"}.get(role, "")
    if role in ("v", "k"):
        return "q8_0"
    return "q5_k" if role == "o" and mix.base in _WIDER_O else ""


def _fitting(block: str, row: int) -> str:
    """Return the format that takes the place of `block` for rows that it does not divide."""
    if row % BLOCKS[block][0] == 0:
        return block
    narrow = NARROW_ROWS.get(block, "f16")
    return narrow if row % BLOCKS[narrow][0] == 0 else "f16"
