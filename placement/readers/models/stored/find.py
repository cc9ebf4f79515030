"""How a checkpoint says that its weights are stored: `quantization_config` at any depth, `hf_quant_config.json`, MLX.

Each method is one function from its statement to a `Quantization` with the bits of its groups and its exceptions. The
layouts are those of transformers (utils/quantization_config.py), compressed-tensors (QuantizationScheme), NVIDIA
ModelOpt (hf_quant_config.json), AMD Quark, AutoRound and MLX (nn.quantize).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from placement.errors import InputError

from ..fields import shown
from ..quantization import QUANTIZATIONS, Exceptions, Quantization, canonical
from . import integers, schemes
from .statement import Statement, Stored

_TOWERS = ("vision_config", "audio_config", "vision_tower", "vit_config")
_DEEPEST = 6


def stored_format(values: Mapping[str, Any], beside: Mapping[str, Any] | None, where: str) -> Stored | None:
    """Return what a checkpoint states of its format, or None where it states nothing.

    Parameters
    ----------
    values : mapping
        The content of its config.json.
    beside : mapping or None
        The content of its hf_quant_config.json.
    where : str
        The file, for messages.

    Returns
    -------
    Stored or None

    Raises
    ------
    InputError
        A stated size is no number or out of range.
    """
    stated = next(_statements(values, where), None)
    if stated is None and beside is not None and isinstance(beside.get("quantization"), Mapping):
        stated = {"quant_method": "modelopt", **beside["quantization"]}
        where = "hf_quant_config.json: quantization"
    if stated is None:
        return None
    method = _method(stated)
    read = METHODS.get(method)
    try:
        found = Stored(method, None) if read is None else read(Statement(stated, where))
    except (AttributeError, TypeError, ValueError, OverflowError, LookupError):
        raise InputError(f"cannot be understood as a format of {shown(method)}", where) from None
    return replace(found, kv_dtype=_kv_dtype(stated), dropped=_dropped(found.format))


def _statements(values: Mapping[str, Any], where: str, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield every statement in a configuration, those of the language model first, towers left out."""
    inner = [key for key in values if isinstance(values[key], Mapping) and key not in _TOWERS]
    for key in inner if depth < _DEEPEST else ():
        if key.endswith("_config") and key not in ("quantization_config", "compression_config"):
            yield from _statements(values[key], f"{where}: {key}", depth + 1)
    for key in ("quantization_config", "compression_config", "quantization"):
        found = values.get(key)
        if isinstance(found, str) and found:
            found = {"quant_method": found}
        elif found and not isinstance(found, Mapping):
            raise InputError(f"expected a mapping, got {shown(found)}", f"{where}: {key}")
        if isinstance(found, Mapping) and found:
            more = {key: values[key] for key in ("expert_dtype",) if key in values}
            yield {**({"quant_method": "mlx"} if _is_mlx(found) else {}), **more, **found}


def _is_mlx(stated: Mapping[str, Any]) -> bool:
    return "bits" in stated and "group_size" in stated and "quant_method" not in stated


def _method(stated: Mapping[str, Any]) -> str:
    name = str(stated.get("quant_method") or stated.get("quantization_method") or "").strip().lower()
    if not name and ("load_in_4bit" in stated or "load_in_8bit" in stated):
        return "bitsandbytes"
    if name in ("", "modelopt") and "quant_algo" in stated:
        return "modelopt"
    return name.replace("_", "-") if name.replace("_", "-") in METHODS else name


def _named(s: Statement) -> Stored:
    """Read a method whose name is a format of the catalog."""
    name = canonical(_method(s.values))
    wide = Exceptions(wide=s.names("modules_to_not_convert"))
    return Stored(name, replace(QUANTIZATIONS[name], exceptions=wide) if name in QUANTIZATIONS else None)


METHODS: Mapping[str, Callable[[Statement], Stored]] = {
    "gptq": integers.gptq,
    "awq": integers.awq,
    "auto-round": integers.auto_round,
    "intel/auto-round": integers.auto_round,
    "fp8": schemes.fp8,
    "fbgemm-fp8": schemes.fp8,
    "bitsandbytes": integers.bitsandbytes,
    "mxfp4": schemes.mxfp4,
    "mlx": integers.mlx,
    "compressed-tensors": schemes.compressed_tensors,
    "modelopt": schemes.modelopt,
    "modelopt-fp4": schemes.modelopt,
    "quark": schemes.quark,
    "torchao": integers.torchao,
    "hqq": integers.hqq,
    "eetq": _named,
    "int8": _named,
    "nvfp4": _named,
}
"""How each method is read."""


def _kv_dtype(stated: Mapping[str, Any]) -> str | None:
    """Return the format of the KV cache that a checkpoint asks for, or None."""
    scheme = stated.get("kv_cache_scheme")
    if isinstance(scheme, Mapping) and scheme.get("num_bits") in (4, 8):
        is_float = scheme.get("type", "float") == "float"
        return {(8, True): "fp8", (8, False): "int8", (4, True): "nvfp4", (4, False): "int4"}[
            (scheme["num_bits"], is_float)
        ]
    algorithm = str(stated.get("kv_cache_quant_algo") or "").upper()
    return {"FP8": "fp8", "INT8": "int8", "NVFP4": "nvfp4"}.get(algorithm)


def _dropped(found: Quantization | None) -> tuple[str, ...]:
    exceptions = found.exceptions if found else None
    if exceptions is None:
        return ()
    lists = (exceptions.wide, exceptions.only, *(listed for listed, _ in exceptions.overrides))
    return tuple(dict.fromkeys(text for entry in lists for text in entry.dropped))
