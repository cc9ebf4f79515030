"""Mixed GGUF formats: which tensors of a model llama.cpp stores in a wider format than the name says.

The block sizes are ggml's (bytes per block / weights per block); the choice of the format for each tensor follows
llama.cpp's quantization tool (https://github.com/ggml-org/llama.cpp, src/llama-quant.cpp, without importance matrix).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
    """

    layer: int = 0
    layers: int = 1
    experts: int = 0
    kv_ratio: float = 1.0
    tied: bool = False


BLOCKS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "f32": (1, 4), "f16": (1, 2),
        "q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22), "q5_1": (32, 24), "q8_0": (32, 34),
        "q2_k": (256, 84), "q3_k": (256, 110), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210),
        "iq1_s": (256, 50), "iq1_m": (256, 56), "iq2_xxs": (256, 66), "iq2_xs": (256, 74), "iq2_s": (256, 82),
        "iq3_xxs": (256, 98), "iq3_s": (256, 110), "iq4_nl": (32, 18), "iq4_xs": (256, 136),
        "tq1_0": (256, 54), "tq2_0": (256, 66), "mxfp4": (32, 17),
    }
)  # fmt: skip
"""Weights per block and bytes per block (ggml-common.h)."""

NARROW_ROWS: Mapping[str, str] = MappingProxyType(
    {"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0", "tq1_0": "q4_0", "tq2_0": "q4_0"}
)
"""What replaces a 256-wide block when the row is no multiple of 256; every other one becomes iq4_nl."""

Rule = tuple[str, str, Callable[[Place], bool]]


def _always(_: Place) -> bool:
    return True


def _grouped(at: Place) -> bool:
    return at.kv_ratio >= 4


def _more_bits(at: Place) -> bool:
    """Tell whether the layer is in the first or last eighth, or every third one between."""
    eighth = at.layers // 8
    return at.layer < eighth or at.layer >= 7 * at.layers // 8 or (at.layer - eighth) % 3 == 2


def _first(parts: int) -> Callable[[Place], bool]:
    return lambda at: at.layer < at.layers // parts


def _below(layer: int) -> Callable[[Place], bool]:
    return lambda at: at.layer < layer


_Q5_ROWS: tuple[Rule, ...] = (("v", "q5_k", _grouped), ("down", "q5_k", _first(8)))
_LOW: tuple[Rule, ...] = (("v", "q4_k", _grouped), ("v", "q2_k", _always), ("down", "q2_k", _first(8)))
_LOW_S: tuple[Rule, ...] = (
    ("v", "q4_k", _grouped), ("v", "iq3_s", _always), ("down", "iq3_s", _first(8)), ("o", "iq3_s", _always),
    ("embed", "iq3_s", _always),
)  # fmt: skip
_EMBED_Q2: Rule = ("embed", "q2_k", _always)

MIXES: Mapping[str, tuple[str, tuple[Rule, ...]]] = MappingProxyType(
    {
        "q2_k": ("q2_k", (("v", "q4_k", _grouped), ("v", "q3_k", _always), ("down", "q3_k", _always),
                          ("o", "q3_k", _always))),
        "q2_k_s": ("q2_k", (("v", "q4_k", _grouped), ("down", "q4_k", _first(8)))),
        "q3_k_s": ("q3_k", ()),
        "q3_k_m": ("q3_k", (("v", "q5_k", _below(2)), ("v", "q4_k", _always), ("down", "q5_k", _first(16)),
                            ("down", "q4_k", _always), ("o", "q4_k", _always), ("qkv", "q4_k", _always))),
        "q3_k_l": ("q3_k", (("v", "q5_k", _always), ("down", "q5_k", _always), ("o", "q5_k", _always),
                            ("qkv", "q4_k", _always))),
        "q4_k_s": ("q4_k", (("v", "q5_k", _below(4)), ("down", "q5_k", _first(8)))),
        "q4_k_m": ("q4_k", (("v", "q6_k", _more_bits), ("down", "q6_k", _more_bits), ("qkv", "q5_k", _always))),
        "q5_k_s": ("q5_k", ()),
        "q5_k_m": ("q5_k", (("v", "q6_k", _more_bits), ("down", "q6_k", _more_bits), ("qkv", "q6_k", _always))),
        "q6_k": ("q6_k", ()),
        "iq1_s": ("iq1_s", (*_LOW, ("o", "iq2_xxs", _always), _EMBED_Q2)),
        "iq1_m": ("iq1_m", (*_LOW, ("o", "iq2_xxs", _always), _EMBED_Q2)),
        "iq2_xxs": ("iq2_xxs", (*_LOW, _EMBED_Q2)),
        "iq2_xs": ("iq2_xs", (*_LOW, _EMBED_Q2)),
        "iq2_s": ("iq2_xs", _LOW_S),
        "iq2_m": ("iq2_s", _LOW_S),
        "iq3_xxs": ("iq3_xxs", (("v", "q4_k", _grouped), ("v", "iq3_s", _always), ("q", "iq2_s", _always),
                                ("k", "iq2_s", _always), ("down", "q4_k", _first(8)), ("down", "q3_k", _always),
                                ("o", "iq3_s", _always), ("embed", "iq3_s", _always))),
        "iq3_s": ("iq3_s", (("v", "q4_k", _grouped),)),
        "iq3_m": ("iq3_s", (("v", "q4_k", _always), ("o", "q4_k", _always), ("qkv", "q4_k", _always),
                            ("down", "q4_k", _first(8)))),
        "iq4_nl": ("iq4_nl", _Q5_ROWS),
        "iq4_xs": ("iq4_xs", _Q5_ROWS),
        "q4_0": ("q4_0", ()), "q4_1": ("q4_1", ()), "q5_0": ("q5_0", ()), "q5_1": ("q5_1", ()), "q8_0": ("q8_0", ()),
        "tq1_0": ("tq1_0", (("embed", "q4_k", _always),)), "tq2_0": ("tq2_0", (("embed", "q4_k", _always),)),
    }
)  # fmt: skip
"""Name of a mix: its base format, and the rules (role, format, when) of which the first that fits wins."""

_LOW_OUTPUT = frozenset({"iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs"})


def bits_per_weight(block: str) -> float:
    """Return the bits that one weight takes in a ggml block format."""
    weights, size = BLOCKS[block]
    return 8.0 * size / weights


def mix_bits(mix: str, part: Part, at: Place) -> float:
    """Return the bits per weight of a tensor under a mixed format."""
    if part.role in ("norm", "bias", "router", "position"):
        return 32.0  # llama.cpp quantizes neither vectors nor routers nor position tables
    return bits_per_weight(_fitting(_format(mix, part.role, at), part.row))


def _format(mix: str, role: str, at: Place) -> str:
    base, rules = MIXES[mix]
    if role == "head" or (role == "embed" and at.tied):
        return "q5_k" if mix in _LOW_OUTPUT else ("q8_0" if base == "q8_0" else "q6_k")
    chosen = next((block for name, block, when in rules if name == role and when(at)), base)
    if at.experts == 8 and role in "kv" and mix not in _LOW_OUTPUT:
        return "q8_0"
    if at.experts == 8 and role == "o" and base in ("q2_k", "q3_k", "q4_k", "iq3_s", "iq4_nl", "iq4_xs"):
        return "q5_k"
    if role == "v" and chosen in ("q3_k", "q4_k") and at.layers == 80 and at.kv_ratio == 8:
        return "q5_k"  # the 70B rule: this tensor is an eighth of the others there
    return chosen


def _fitting(block: str, row: int) -> str:
    """Return the format that takes the place of `block` for rows that it does not divide."""
    if row % BLOCKS[block][0] == 0:
        return block
    narrow = NARROW_ROWS.get(block, "iq4_nl")
    return narrow if row % BLOCKS[narrow][0] == 0 else "f16"
