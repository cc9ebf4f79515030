"""Statements that list schemes and modules: compressed-tensors, NVIDIA ModelOpt, AMD Quark; and plain FP8 and MXFP4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from placement.errors import InputError

from ..fields import shown
from ..module_names import NameList, name_list
from ..quantization import QUANTIZATIONS, Exceptions, Quantization
from .statement import WIDE_INPUTS, Statement, Stored, integer


def fp8(s: Statement) -> Stored:
    """Read FP8: a scale per tensor, or per block of weights."""
    block = s.values.get("weight_block_size")
    wide = s.names("modules_to_not_convert", "ignored_layers", "ignore", "exclude")
    if isinstance(block, list) and block:
        rows, columns = int(block[0]), int(block[1])
        if not (0 < rows <= 1 << 20 and 0 < columns <= 1 << 20):
            raise InputError(f"expected two positive sizes, got {shown(block)}", f"{s.where}: weight_block_size")
        scale = 8.0 if s.values.get("scale_fmt") == "ue8m0" and rows * columns <= 64 else 32.0
        found = replace(QUANTIZATIONS["fp8_block"], bits=8 + scale / (rows * columns))
    else:
        found = QUANTIZATIONS["fp8"]
    # DeepSeek-V4: routed experts in MXFP4, everything else in FP8.
    routed = ((name_list(["re:.*\\.experts\\.0\\."]), QUANTIZATIONS["mxfp4"].bits),)
    overrides = routed if s.values.get("expert_dtype") == "fp4" else ()
    return Stored("fp8", replace(found, exceptions=Exceptions(wide=wide, overrides=overrides)))


def mxfp4(s: Statement) -> Stored:
    """Read MXFP4 as gpt-oss stores it: routed experts only."""
    wide = Exceptions(wide=s.names("modules_to_not_convert"))
    return Stored("mxfp4", replace(QUANTIZATIONS["mxfp4"], exceptions=wide))


def compressed_tensors(s: Statement) -> Stored:
    """Read compressed-tensors: groups of targets, each with a scheme, and modules to ignore."""
    groups = s.values.get("config_groups") or {}
    wide = s.names("ignore")
    read = [_scheme(s, group) for group in groups.values() if isinstance(group, Mapping)]
    schemes = [entry for entry in read if entry is not None]
    if not schemes:
        return Stored("compressed-tensors", None)
    targets, main = next(((t, q) for t, q in schemes if "Linear" in t), schemes[0])
    only = NameList() if "Linear" in targets else name_list(targets)
    others = tuple((name_list(t), q.bits) for t, q in schemes if q is not main)
    if not only and "lm_head" in _all_targets(others):
        wide = replace(wide, exact=wide.exact - {"lm_head"})
    exceptions = Exceptions(wide=wide, only=_union(only, others), overrides=others)
    return Stored("compressed-tensors", replace(main, kept=WIDE_INPUTS, exceptions=exceptions))


def _all_targets(others: tuple[tuple[NameList, float], ...]) -> frozenset[str]:
    return frozenset(name for listed, _ in others for name in listed.exact)


def _union(only: NameList, others: tuple[tuple[NameList, float], ...]) -> NameList:
    """Return the targets of all groups, where no group has every linear map as its target."""
    if not only:
        return only
    lists = (only, *(listed for listed, _ in others))
    return NameList(
        frozenset(name for entry in lists for name in entry.exact),
        tuple(start for entry in lists for start in entry.starts),
        tuple(pattern for entry in lists for pattern in entry.patterns),
    )


def _scheme(s: Statement, group: Mapping[str, Any]) -> tuple[list[str], Quantization] | None:
    weights = group.get("weights")
    if not isinstance(weights, Mapping):
        return None
    stated = Statement(weights, f"{s.where}: config_groups")
    bits, size = stated.number("num_bits", default=8), weights.get("group_size") or -1
    strategy, is_float = str(weights.get("strategy") or ""), weights.get("type") == "float"
    targets = [str(name) for name in group.get("targets") or ["Linear"]]
    if is_float and bits == 4:
        name = "mxfp4" if size == 32 else "nvfp4"
        return targets, replace(QUANTIZATIONS[name], experts_only=False)
    if is_float and bits == 8:
        block = weights.get("block_structure")
        if strategy == "block" and isinstance(block, list):
            return targets, replace(QUANTIZATIONS["fp8_block"], bits=8 + 32.0 / (int(block[0]) * int(block[1])))
        if strategy == "group":
            return targets, QUANTIZATIONS["mxfp8"]
        return targets, replace(QUANTIZATIONS["fp8"], row_bits=16.0 if strategy == "channel" else 0.0)
    found = integer(
        "compressed-tensors",
        bits,
        stated.number("group_size", default=-1) if size else -1,
        weights.get("symmetric", True) is False,
    )
    whole = bits == 8 and group.get("input_activations") is not None
    return targets, replace(found, compute_dtype="int8" if whole else "bfloat16")


_MODELOPT = {
    "FP8": "fp8",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8",
    "FP8_PB_WO": "fp8_block",
    "FP8_PB_REAL": "fp8_block",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "W4A16_NVFP4": "nvfp4",
    "W4A8_NVFP4_FP8": "nvfp4",
    "W4A16_AWQ": "int4_g128",
    "W4A8_AWQ": "int4_g128",
    "INT8_SQ": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8",
    "MXFP8": "mxfp8",
    "W4A8_MXFP4_FP8": "mxfp4",
}
"""Format of each algorithm of ModelOpt."""


def modelopt(s: Statement) -> Stored:
    """Read NVIDIA ModelOpt, of hf_quant_config.json or config.json."""
    algorithm = str(s.values.get("quant_algo") or "").upper()
    wide = s.names("exclude_modules", "ignore")
    if algorithm == "MIXED_PRECISION":
        return _modelopt_mixed(s, wide)
    name = _MODELOPT.get(algorithm)
    if name is None:
        return Stored(f"modelopt {algorithm}", None) if not s.values.get("config_groups") else compressed_tensors(s)
    found = replace(QUANTIZATIONS[name], kept=WIDE_INPUTS, experts_only=False, exceptions=Exceptions(wide=wide))
    return Stored(f"modelopt {algorithm}", found)


def _modelopt_mixed(s: Statement, wide: NameList) -> Stored:
    """Read a list of modules, each with a format of its own; what is not listed stays in 16 bits."""
    layers = s.values.get("quantized_layers") or {}
    by_name: dict[str, list[str]] = {}
    for module, entry in layers.items():
        name = _MODELOPT.get(str(entry.get("quant_algo") or "").upper()) if isinstance(entry, Mapping) else None
        by_name.setdefault(name or "bfloat16", []).append(str(module))
    if not by_name:
        return Stored("modelopt MIXED_PRECISION", None)
    main = QUANTIZATIONS[max(by_name, key=lambda name: len(by_name[name]))]
    overrides = tuple((name_list(modules), QUANTIZATIONS[name].bits) for name, modules in by_name.items())
    listed = name_list([module for modules in by_name.values() for module in modules])
    exceptions = Exceptions(wide=wide, only=listed, overrides=overrides)
    found = replace(main, kept=frozenset({"embed"}), experts_only=False, exceptions=exceptions)
    return Stored("modelopt MIXED_PRECISION", found)


_QUARK = {
    "fp4": "mxfp4",
    "fp8_e4m3": "fp8",
    "fp8_e4m3fn": "fp8",
    "int8": "int8",
    "int4": "int4_g128",
    "uint4": "int4",
}
"""Format of each number type of Quark."""


def quark(s: Statement) -> Stored:
    """Read AMD Quark: one scheme, and modules to exclude."""
    main = s.values.get("global_quant_config") or {}
    weight = main.get("weight") or {}
    weight = weight[0] if isinstance(weight, list) and weight else weight
    dtype = str(weight.get("dtype", "")).lower() if isinstance(weight, Mapping) else ""
    names = {
        "fp4": "mxfp4",
        "fp8_e4m3": "fp8",
        "fp8_e4m3fn": "fp8",
        "int8": "int8",
        "int4": "int4_g128",
        "uint4": "int4",
    }
    if dtype not in names:
        return Stored(f"quark {dtype}", None)
    exceptions = Exceptions(wide=s.names("exclude"))
    return Stored(
        f"quark {dtype}",
        replace(QUANTIZATIONS[_QUARK[dtype]], kept=WIDE_INPUTS, experts_only=False, exceptions=exceptions),
    )
