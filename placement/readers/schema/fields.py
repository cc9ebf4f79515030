"""The pieces that every part of the schema of cluster.yaml is made of, and errors in one line each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError, WithJsonSchema
from pydantic import model_validator as _model_validator

from placement.errors import InputError, nearest

from .. import units

MAX_COUNT = 10_000  # blocks or nodes: more is a mistake


class Entry(BaseModel):
    """A mapping of the file: unknown keys are refused, with the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @_model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    hint = nearest(str(key), cls.model_fields) or f" (known: {', '.join(cls.model_fields)})"
                    raise ValueError(f"unknown key {units.shown(key)}{hint}")
        return data


def _quantity(parse: units.Quantity) -> Any:
    text: dict[str, Any] = {"type": "string", "description": f"{parse.what}, in words", "examples": [parse.example]}
    number: dict[str, Any] = {"type": "number", "minimum": 0, "description": f"in {parse.base}"}
    schema = {"anyOf": [number, text]} if parse.bare else text
    return Annotated[float, BeforeValidator(parse), WithJsonSchema(schema)]


def _positive(value: object) -> float:
    return _number(value, zero=False)


def _non_negative(value: object) -> float:
    return _number(value, zero=True)


def fraction(value: object) -> float:
    """Return a number in (0, 1]; raise `ValueError` for anything else."""
    number = _number(value, zero=False)
    if number > 1:
        raise ValueError(f"expected a number above 0 and at most 1, got {units.shown(value)}")
    return number


def _number(value: object, *, zero: bool) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < 0 or (value == 0 and not zero):  # type: ignore[operator]
        raise ValueError(f"expected a number {'of at least' if zero else 'above'} 0, got {units.shown(value)}")
    return float(value)  # type: ignore[arg-type]


def _seconds_list(value: object) -> tuple[float, ...]:
    """Accept one number for all blocks, or a list with one per block."""
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError("expected one number, or one per block, got an empty list")
        return tuple(units.seconds_or_zero(item) for item in value)
    return (units.seconds(value),)


def _block_ref(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ValueError(f"expected a block's name or number, got {units.shown(value)}")
    return value


_SECONDS_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "array", "items": {"type": "number"}}]}

Size: Any = _quantity(units.size)
SizeOrZero: Any = _quantity(units.size_or_zero)
Bandwidth: Any = _quantity(units.bandwidth)
MemoryBandwidth: Any = _quantity(units.memory_bandwidth)
Latency: Any = _quantity(units.duration_or_zero)
Duration: Any = _quantity(units.duration)
Compute: Any = _quantity(units.compute)
Operations: Any = _quantity(units.operations_or_zero)
Price: Any = _quantity(units.price_per_hour_or_zero)
PriceLimit: Any = _quantity(units.price_per_hour)
Power: Any = _quantity(units.power)
TokenRate: Any = _quantity(units.token_rate)
Energy: Any = _quantity(units.energy_per_token)
Fraction: Any = Annotated[float, BeforeValidator(fraction)]
Weight: Any = Annotated[float, BeforeValidator(_positive)]
NonNegative: Any = Annotated[float, BeforeValidator(_non_negative)]
SecondsPerBlock: Any = Annotated[tuple[float, ...], BeforeValidator(_seconds_list), WithJsonSchema(_SECONDS_SCHEMA)]
Count: Any = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]
PositiveInt: Any = Annotated[int, Field(strict=True, ge=1, le=10**12)]
NonNegativeInt: Any = Annotated[int, Field(strict=True, ge=0, le=10**12)]
Name: Any = Annotated[str, Field(strict=True, min_length=1, max_length=200, pattern=r"^\S+( +\S+)*$")]
BlockRef: Any = Annotated[str | int, BeforeValidator(_block_ref)]
Bool = StrictBool


def input_error(error: ValidationError, where: str, limit: int = 5) -> InputError:
    """Return pydantic's findings as one line each, with the file, the key path and the value."""
    found = error.errors(include_url=False)
    lines = list(dict.fromkeys(_line(item) for item in found))
    shown = [f"{path}: {message}" if path else message for path, message in lines]
    if len(shown) > limit:
        shown = [*shown[:limit], f"... and {len(shown) - limit} more"]
    if len(shown) == 1:
        path, message = lines[0]
        return InputError(message, f"{where}: {path}" if path else where)
    return InputError(f"\n{where}: ".join(shown), where)


def key_path(parts: Iterable[str | int]) -> str:
    """Return ``nodes[2].memory`` for ``("nodes", 2, "memory")``; tags of unions (in angle brackets) are left out."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith("<"):
            path += f".{part}" if path else part
    return path


def _line(item: Any) -> tuple[str, str]:
    path: Sequence[str | int] = item["loc"]
    return key_path(part for part in path if part not in ("[key]", "str", "int")), _message(item)


def _message(item: Any) -> str:
    kind, value, context = str(item["type"]), units.shown(item.get("input")), item.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "this key is missing"
    if kind == "literal_error":
        hint = nearest(str(item["input"]), [word.strip("' ") for word in str(context["expected"]).split(" or ")])
        return f"expected {context['expected']}, got {value}{hint}"
    expected = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "string_type": "text (quote it)",
        "string_too_short": "text",
        "string_too_long": "at most 200 characters",
        "string_pattern_mismatch": "text without line breaks, tabs, or spaces at its ends",
        "list_type": "a list",
        "tuple_type": "a list",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "model_attributes_type": "a mapping",
        "too_short": f"at least {context.get('min_length')} of them",
        "too_long": f"at most {context.get('max_length')} of them",
        "greater_than_equal": f"a whole number of at least {context.get('ge')}",
        "less_than_equal": f"a whole number of at most {context.get('le')}",
    }.get(kind)
    return f"expected {expected}, got {value}" if expected else f"{item['msg']}, got {value}"
