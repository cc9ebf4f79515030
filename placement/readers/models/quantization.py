"""Number formats and quantizations of weights: bits per weight, and what stays in 16 or 32 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from placement.errors import InputError, nearest

from .mixes import MIXES, Place, bits_per_weight, mix_bits
from .parts import Part

_EDGES = frozenset({"embed", "head"})


@dataclass(frozen=True, slots=True)
class Quantization:
    """How many bits each weight of a model takes.

    Attributes
    ----------
    name : str
    bits : float
        Bits per weight of the matrices of the layers, scales and zero points included.
    compute_dtype : str
        Format of the multiplications.
    source : str
        Where the layout is defined.
    vector_bits : float
        Bits of norms, biases and position tables.
    kept : frozenset of str
        Roles of matrices that stay in 16 bits.
    experts_only : bool
        In a model with routed experts, only these are quantized.
    mix : str
        Name of the GGUF mix that gives the bits tensor by tensor; empty for a uniform format.
    """

    name: str
    bits: float
    compute_dtype: str
    source: str
    vector_bits: float = 16.0
    kept: frozenset[str] = field(default=frozenset())
    experts_only: bool = False
    mix: str = ""

    def bits_of(self, part: Part, at: Place) -> float:
        """Return the bits per weight of the tensors in `part`."""
        if self.mix:
            return mix_bits(self.mix, part, at)
        if part.role in ("norm", "bias", "position"):
            return self.vector_bits
        if part.role in self.kept or (self.experts_only and at.experts and not part.routed):
            return 16.0
        return self.bits

    def bytes_of(self, parts: tuple[Part, ...], at: Place) -> float:
        """Return the bytes of all tensors in `parts`."""
        return sum(part.params * self.bits_of(part, at) for part in parts) / 8.0


def _catalog() -> dict[str, Quantization]:
    linear_only = _EDGES | {"router"}
    plain = [
        Quantization("float32", 32.0, "float32", "IEEE 754 binary32", vector_bits=32.0),
        Quantization("float16", 16.0, "float16", "IEEE 754 binary16"),
        Quantization("bfloat16", 16.0, "bfloat16", "the upper half of IEEE 754 binary32"),
        Quantization("fp8", 8.0, "fp8", "OCP 8-bit floating point (OFP8) 1.0, one scale per tensor", kept=linear_only),
        Quantization("int8", 8.0, "int8", "LLM.int8(), arXiv:2208.07339, one scale per row", kept=linear_only),
        # 4 bits, an 8-bit scale per 64 weights, a 32-bit scale per 256 of those scales.
        Quantization("nf4", 4 + 8 / 64 + 32 / (64 * 256), "bfloat16", "QLoRA, arXiv:2305.14314, double quantization",
                     kept=linear_only),
        # 4 bits, a 16-bit scale and a 4-bit zero point per group of 128 weights.
        Quantization("int4", 4 + 20 / 128, "bfloat16", "groups of 128, scale and zero point", kept=linear_only),
        Quantization("awq", 4 + 20 / 128, "bfloat16", "AWQ, arXiv:2306.00978, groups of 128", kept=linear_only),
        Quantization("gptq", 4 + 20 / 128, "bfloat16", "GPTQ, arXiv:2210.17323, groups of 128", kept=linear_only),
        Quantization("mxfp4", 4 + 8 / 32, "bfloat16", "OCP Microscaling (MX) 1.0: an 8-bit scale per 32 weights",
                     kept=linear_only, experts_only=True),
    ]  # fmt: skip
    layout = "ggml block layout, mixed as by llama.cpp's quantization tool"
    mixed = [
        Quantization(name, bits_per_weight(base), "bfloat16", layout, vector_bits=32.0, mix=name)
        for name, (base, _) in MIXES.items()
    ]
    return {entry.name: entry for entry in (*plain, *mixed)}


QUANTIZATIONS: Mapping[str, Quantization] = MappingProxyType(_catalog())
"""Every format of weights that the library knows, by name."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "bf16": "bfloat16", "fp16": "float16", "f16": "float16", "half": "float16", "fp32": "float32", "f32": "float32",
        "float": "float32", "float8": "fp8", "float8_e4m3fn": "fp8", "fp8_e4m3": "fp8", "e4m3": "fp8", "f8_e4m3": "fp8",
        "8bit": "int8", "bnb_int8": "int8", "w8a8": "int8", "bnb_nf4": "nf4", "4bit": "nf4", "w4a16": "int4",
        "q2k": "q2_k", "q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m", "q6k": "q6_k", "mxfp4_moe": "mxfp4",
    }
)  # fmt: skip

_KV_BITS: Mapping[str, float] = MappingProxyType(
    {"float32": 32.0, "float16": 16.0, "bfloat16": 16.0, "fp8": 8.0, "int8": 8.0, "int4": 4.0}
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
