"""The pieces that the schema of cluster.yaml is made of: quantities in words, beside the entries of every file."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from placement.errors import shown
from placement.files.entries import LARGEST

from .. import units


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
        raise ValueError(f"expected a number above 0 and at most 1, got {shown(value)}")
    return number


def _number(value: object, *, zero: bool) -> float:
    least = f"expected a number {'of at least' if zero else 'above'} 0, got {shown(value)}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(least)
    if value > LARGEST and value != math.inf:
        raise ValueError(f"expected a number of at most {LARGEST:g}, got {shown(value)}")
    if value < 0 or (value == 0 and not zero) or not math.isfinite(value):
        raise ValueError(least)
    return float(value)


def _seconds_list(value: object) -> tuple[float, ...]:
    """Accept one number for all blocks, or a list with one per block."""
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError("expected one number, or one per block, got an empty list")
        return tuple(units.seconds_or_zero(item) for item in value)
    return (units.seconds(value),)


def _block_ref(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ValueError(f"expected a block's name or number, got {shown(value)}")
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
RequestRate: Any = Annotated[
    float,
    BeforeValidator(units.requests_per_s),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "examples": ["4/s", "90/min"]}]}),
]
Energy: Any = _quantity(units.energy_per_token)
Fraction: Any = Annotated[float, BeforeValidator(fraction)]
Weight: Any = Annotated[float, BeforeValidator(_positive)]
NonNegative: Any = Annotated[float, BeforeValidator(_non_negative)]
SecondsPerBlock: Any = Annotated[tuple[float, ...], BeforeValidator(_seconds_list), WithJsonSchema(_SECONDS_SCHEMA)]
BlockRef: Any = Annotated[str | int, BeforeValidator(_block_ref)]
