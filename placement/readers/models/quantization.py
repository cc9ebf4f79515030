"""Number formats and quantizations of weights: bits per weight, and what stays in 16 or 32 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from placement.catalog.tables import load
from placement.errors import InputError, nearest

from .mixes import MIXES, Place, bits_per_weight, mix_bits
from .module_names import NameList, stems
from .parts import VECTORS, Part

UNQUANTIZED = VECTORS | {"conv", "state"}
"""Roles that no quantization of matrices touches."""


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Modules that a checkpoint stores otherwise than the rest.

    Attributes
    ----------
    wide : NameList
        In 16 bits.
    only : NameList
        When not empty, every other module is in 16 bits.
    overrides : tuple of (NameList, float)
        In other bits per weight; the first list that holds a module wins.
    """

    wide: NameList = field(default_factory=NameList)
    only: NameList = field(default_factory=NameList)
    overrides: tuple[tuple[NameList, float], ...] = ()

    def bits_of(self, names: tuple[str, ...]) -> float | None:
        """Return the bits per weight of the module with these names, or None where it is no exception."""
        for listed, bits in self.overrides:
            if listed.holds(names):
                return bits
        return 16.0 if self.wide.holds(names) or (self.only and not self.only.holds(names)) else None


@dataclass(frozen=True, slots=True)
class Quantization:
    """How many bits each weight of a model takes.

    Attributes
    ----------
    name : str
    bits : float
        Bits per weight of the matrices of the layers, scales and zero points of groups included.
    compute_dtype : str
        Format of the multiplications.
    source : str
        Where the layout is defined.
    vector_bits : float
        Bits of norms, biases and position tables.
    row_bits : float
        Bits of the scale of one row.
    kept : frozenset of str
        Roles of matrices that stay in 16 bits.
    experts_only : bool
        In a model with routed experts, only these are quantized.
    mix : str
        Name of the GGUF mix that gives the bits tensor by tensor; empty for a uniform format.
    exceptions : Exceptions or None
        What a checkpoint stores otherwise.
    note : str
        What a plan says that uses the format; empty for most.
    """

    name: str
    bits: float
    compute_dtype: str
    source: str
    vector_bits: float = 16.0
    row_bits: float = 0.0
    kept: frozenset[str] = field(default=frozenset())
    experts_only: bool = False
    mix: str = ""
    exceptions: Exceptions | None = None
    note: str = ""

    @property
    def in_gguf(self) -> bool:
        """Whether GGUF files hold such weights, or may: what comes as MXFP4 or NVFP4 is taken over as it is."""
        return bool(self.mix) or self.bits >= 16 or self.name.startswith("ud_") or self.name in ("mxfp4", "nvfp4")

    def bits_of(self, part: Part, at: Place) -> float:
        """Return the bits per weight of the tensors in `part`."""
        if self.mix:
            return mix_bits(self.mix, part, at)
        if part.role in UNQUANTIZED:
            return self.vector_bits
        if part.role in self.kept or (self.experts_only and at.experts and not part.routed):
            return 16.0
        stated = self.exceptions.bits_of(stems(part, at)) if self.exceptions else None
        return self.bits + self.row_bits / max(1, part.row) if stated is None else stated

    def bytes_of(self, parts: tuple[Part, ...], at: Place) -> float:
        """Return the bytes of all tensors in `parts`."""
        return sum(part.params * self.bits_of(part, at) for part in parts) / 8.0


def _format(name: str, entry: Mapping[str, Any]) -> Quantization:
    return Quantization(
        name=name,
        bits=entry["bits"] + entry.get("per_group", 0) / entry.get("group", 1),
        compute_dtype=entry["compute"],
        source=entry["source"],
        vector_bits=float(entry.get("vectors", 16)),
        kept=frozenset(entry.get("keeps", ())),
        experts_only=entry.get("experts", False),
        note=entry.get("note", ""),
    )


def _catalog() -> dict[str, Quantization]:
    plain = {name: _format(name, entry) for name, entry in load("formats.yaml").items()}
    layout = "ggml block layout, mixed as by llama.cpp's quantization tool"
    return plain | {
        name: Quantization(name, bits_per_weight(mix.base), "bfloat16", layout, vector_bits=32.0, mix=name)
        for name, mix in MIXES.items()
    }


QUANTIZATIONS: Mapping[str, Quantization] = MappingProxyType(_catalog())
"""Every format of weights that the library knows, by name."""

_GGUF_SHORT = {"q2k": "q2_k", "q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m", "q6k": "q6_k"}

ALIASES: Mapping[str, str] = MappingProxyType(
    {alias: name for name, entry in load("formats.yaml").items() for alias in entry.get("aliases", ())} | _GGUF_SHORT
)

_KV_BITS: Mapping[str, float] = MappingProxyType(
    {"float32": 32.0, "float16": 16.0, "bfloat16": 16.0, "fp8": 8.0, "int8": 8.0, "int4": 4.0, "nvfp4": 4.5}
    | {name: bits_per_weight(name) for name in ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")}
)


def canonical(name: object) -> str:
    """Return the usual spelling of a format's name, known or not."""
    word = str(name).strip().lower().replace("-", "_").removeprefix("torch.")
    return ALIASES.get(word, word)


def quantization(name: str, where: str = "quantization") -> Quantization:
    """Return the format called `name` (`InputError` when there is none)."""
    found = QUANTIZATIONS.get(canonical(name)) if isinstance(name, str) else None
    if found is None:
        hint = nearest(canonical(name), [*QUANTIZATIONS, *ALIASES])
        raise InputError(f"unknown number format or quantization {name!r}{hint}", where)
    return found


def kv_bytes_per_value(kv_dtype: str | None, weights: Quantization) -> float:
    """Return the bytes of one number in the KV cache; by default 4 for a float32 model and 2 for any other."""
    if kv_dtype is None:
        return 4.0 if weights.name == "float32" else 2.0
    bits = _KV_BITS.get(canonical(kv_dtype))
    if bits is None:
        hint = nearest(canonical(kv_dtype), _KV_BITS)
        raise InputError(f"unknown number format {kv_dtype!r} for the KV cache{hint}", "kv_dtype")
    return bits / 8.0
