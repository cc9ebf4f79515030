"""Integers in groups: GPTQ, AWQ, AutoRound, HQQ, torchao, bitsandbytes and MLX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..module_names import NameList, name_list
from ..quantization import QUANTIZATIONS, Exceptions, Quantization
from .statement import WIDE, WIDE_INPUTS, Statement, Stored, grouped, integer


def gptq(s: Statement) -> Stored:
    """Read GPTQ: packed values, a 16-bit scale and a packed zero point for each group, in symmetric files too."""
    bits, group = s.number("bits", "w_bit", default=4), s.number("group_size", "q_group_size", default=128)
    zero = True  # stored in symmetric files too
    kept = WIDE_INPUTS if s.values.get("lm_head") is True else WIDE
    plain = integer("gptq", bits, group, zero, kept=kept)
    rules = s.values.get("dynamic") or {}
    wide = name_list([f"re:{key[2:]}" for key in rules if key.startswith("-:")])
    overrides = tuple(
        (name_list([f"re:{key.removeprefix('+:')}"]), _override(value, bits, group, zero))
        for key, value in rules.items()
        if not key.startswith("-:") and isinstance(value, Mapping)
    )
    return Stored("gptq", replace(plain, exceptions=Exceptions(wide=wide, overrides=overrides)))


def _override(value: Mapping[str, Any], bits: int, group: int, zero: bool) -> float:
    s = Statement(value, "quantization_config")
    other = s.number("bits", default=bits)
    return 16.0 if other >= 16 else integer("", other, s.number("group_size", default=group), zero).bits


def awq(s: Statement) -> Stored:
    """Read AWQ: packed values, a 16-bit scale and mostly a packed zero point for each group."""
    bits, group = s.number("bits", "w_bit", default=4), s.number("group_size", "q_group_size", default=128)
    found = integer("awq", bits, group, s.values.get("zero_point", True) is True, kept=WIDE)
    return Stored("awq", replace(found, exceptions=Exceptions(wide=s.names("modules_to_not_convert"))))


def auto_round(s: Statement) -> Stored:
    """Read AutoRound, which packs as GPTQ does; `extra_config` gives single modules other bits."""
    bits, group = s.number("bits", default=4), s.number("group_size", default=128)
    zero = True  # packed as by GPTQ
    extra = s.values.get("extra_config") or {}
    overrides = tuple(
        (name_list([f"re:{name}" if set(name) & set("*\\$^") else name]), _override(value, bits, group, zero))
        for name, value in extra.items()
        if isinstance(value, Mapping)
    )
    found = integer("auto-round", bits, group, zero, kept=WIDE)
    return Stored("auto-round", replace(found, exceptions=Exceptions(overrides=overrides)))


def bitsandbytes(s: Statement) -> Stored:
    """Read bitsandbytes: rows of int8, or blocks of 64 in 4 bits."""
    wide = Exceptions(wide=s.names("llm_int8_skip_modules"))
    if not (s.values.get("load_in_4bit") or s.values.get("_load_in_4bit")):
        return Stored("bitsandbytes", replace(QUANTIZATIONS["int8"], row_bits=32.0, exceptions=wide))
    name = "nf4" if s.values.get("bnb_4bit_quant_type", "fp4") == "nf4" else "fp4"
    bits = QUANTIZATIONS[name].bits if s.values.get("bnb_4bit_use_double_quant") else 4 + 32 / 64
    return Stored("bitsandbytes", replace(QUANTIZATIONS[name], bits=bits, exceptions=wide))


def mlx(s: Statement) -> Stored:
    """Read MLX: groups in every matrix, the embedding and the head too; single modules may have other bits."""
    bits, group = s.number("bits", default=4), s.number("group_size", default=64)
    mode = str(s.values.get("mode", "affine"))
    overrides = tuple(
        (
            name_list([name.replace("switch_mlp", "experts")]),
            16.0 if value is False else _mlx_bits(value, bits, group, mode),
        )
        for name, value in s.values.items()
        if value is False or isinstance(value, Mapping)
    )
    title = f"mlx_{bits}bit" + ("" if group == 64 else f"_g{group}") if mode == "affine" else f"mlx_{mode}"
    per_weight = _mlx_bits({}, bits, group, mode)
    found = Quantization(title, per_weight, "float16", "MLX, as stated", exceptions=_merged(overrides))
    return Stored(f"MLX {mode}", found)


def _mlx_bits(value: Mapping[str, Any], bits: int, group: int, mode: str) -> float:
    s = Statement(value, "quantization")
    bits, group = s.number("bits", default=bits), s.number("group_size", default=group)
    mode = str(value.get("mode", mode))
    return bits + (32.0 if mode == "affine" else 8.0) / max(1, group)


def _merged(overrides: tuple[tuple[NameList, float], ...]) -> Exceptions:
    """Return the same exceptions with one list for each number of bits: a checkpoint may name thousands of modules."""
    by_bits: dict[float, set[str]] = {}
    for listed, bits in overrides:
        by_bits.setdefault(bits, set()).update(listed.exact)
    return Exceptions(overrides=tuple((NameList(frozenset(names)), bits) for bits, names in by_bits.items()))


def torchao(s: Statement) -> Stored:
    """Read torchao: int4 in groups, or rows of int8 or FP8."""
    kind = s.values.get("quant_type")
    entry = kind.get("default", kind) if isinstance(kind, Mapping) else kind
    name = str(entry.get("_type") if isinstance(entry, Mapping) else entry).lower().replace("_", "")
    size = _group_of(entry) or _group_of(s.values.get("quant_type_kwargs")) or 128
    if "float8" in name:
        return Stored("torchao", replace(QUANTIZATIONS["fp8"], row_bits=32.0))
    if "int8" in name and "int4" not in name:
        return Stored("torchao", replace(QUANTIZATIONS["int8"], row_bits=32.0))
    found = integer("torchao", 4, size, True, kept=WIDE) if "int4" in name else None
    return Stored("torchao", found)


def _group_of(entry: object) -> int:
    data = entry.get("_data", entry) if isinstance(entry, Mapping) else {}
    size = data.get("group_size") if isinstance(data, Mapping) else None
    return size if isinstance(size, int) and 0 < size <= 1 << 20 else 0


def hqq(s: Statement) -> Stored:
    """Read HQQ: a 16-bit scale and a 16-bit zero point for each group."""
    config = s.values.get("quant_config") or {}
    inner = Statement(config.get("weight_quant_params") or {}, f"{s.where}: quant_config")
    bits, group = inner.number("nbits", "bits", default=4), inner.number("group_size", default=64)
    found = integer("hqq", bits, group, False, kept=WIDE, exceptions=Exceptions(wide=s.names("skip_modules")))
    per_weight, per_row = grouped(bits, group, scale=32.0)
    return Stored("hqq", replace(found, bits=per_weight, row_bits=per_row))
