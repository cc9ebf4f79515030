"""Quantities as people write them ('24 GiB', '10 Gbit/s', '0.40 $/h'), turned into plain numbers in base units.

`pint` does the arithmetic of units, over a small table of our own instead of its large default one: bytes and tokens
are dimensions here, so that '24 GiB' cannot pass for an angle, and names that mean something else in physics ('b' is a
barn there, 'Gb' a gilbert) are refused. The text is checked against a strict pattern before `pint` sees it: one
number, one unit, at most one slash, and nothing that could be evaluated.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..errors import shown

_PREFIXES = "m:1e-3 u:1e-6 µ:1e-6 μ:1e-6 n:1e-9 k:1e3 K:1e3 M:1e6 G:1e9 T:1e12 P:1e15 E:1e18"
_BINARY = "Ki:10 Mi:20 Gi:30 Ti:40 Pi:50"
_UNITS = (
    "B = [information] = _ = byte",
    "bit = B / 8",
    "s = [time] = _ = second = sec",
    "minute = 60 * s = min",
    "hour = 3600 * s = h = hr",
    "day = 86400 * s",
    "month = 2628000 * s",  # 365 days / 12: what clouds call 730 hours
    "bps = bit / s",
    "FLOP = [operations] = _ = flop",
    "FLOPS = FLOP / s",
    "dollar = [money] = _ = USD = usd",
    "J = [energy] = _ = joule",
    "W = J / s = _ = watt",
    "token = [tokens] = _ = tok",
)
_QUANTITY = re.compile(
    r"\s*(?P<number>[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,2})?)\s*"
    r"(?P<unit>[A-Za-zµμ$]{1,16}(?:\s?/\s?[A-Za-z]{1,16})?)?\s*"
)
# pint stacks prefixes and would read 'mB' as a thousandth of a byte: only these words reach it.
_WORD = re.compile(
    r"(?:[kKMGTPE]|[KMGTP]i)?(?:B|bit|byte|bits|bytes|bps)|[kMGTPE]?(?:FLOPS?|flop)|[munµμ]?(?:s|sec|second|seconds)"
    r"|(?:min|minute|h|hr|hour|day|month)s?|\$|USD|usd|dollars?|[mkMG]?(?:W|watts?)|[mkM]?(?:J|joules?)|k?(?:token|tok)s?"
)
_REQUESTS = re.compile(r"\s*(?P<number>\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})\s*(?:/\s*(?P<unit>s|min|h))?\s*")
_PER_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
_LARGEST = 1e30  # in base units; beyond any machine, and far from overflow in products
_MOST_BYTES = 1e18  # counts of bytes are whole numbers in places, and have 63 bits there


@dataclass(frozen=True, slots=True)
class Quantity:
    """A dimension that quantities are read in.

    Attributes
    ----------
    what : str
        Its name for people, with the article.
    example : str
        A correct example.
    base : str
        The unit of the numbers that come out.
    zero : bool
        Whether zero makes sense.
    bare : bool
        Whether a number without a unit is taken to be in `base`.
    largest : float
        In `base`; more is no sensible number.
    """

    what: str
    example: str
    base: str
    zero: bool = False
    bare: bool = False
    largest: float = _LARGEST

    def __call__(self, value: object) -> float:
        """Return `value` in the base unit; raise `ValueError` with one clear line when it is not such a quantity."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError(f"expected {self.what} such as '{self.example}', got {shown(value)}")
        if isinstance(value, str):
            return self._checked(self._parsed(value), value)
        if isinstance(value, int) and abs(value) > _LARGEST:
            return self._checked(math.inf, value)
        if not math.isfinite(value) or value < 0:
            return self._checked(float(value), value)
        if not self.bare and value != 0:
            raise ValueError(f"expected {self.what} such as '{self.example}', got {value}: write the unit")
        return self._checked(float(value), value)

    def _parsed(self, text: str) -> float:
        match = _QUANTITY.fullmatch(text)
        if match is None:
            hint = ": write decimals with a point" if re.search(r"\d,\d", text) else ""
            raise ValueError(f"expected {self.what} such as '{self.example}', got {shown(text)}{hint}")
        number, unit = float(match["number"]), match["unit"]
        if unit is None:
            if self.bare or number == 0:
                return number
            raise ValueError(f"expected {self.what} such as '{self.example}', got {shown(text)}: write the unit")
        factor = _factor(unit.replace(" ", ""), self.base)
        if factor is None:
            raise ValueError(f"expected {self.what} such as '{self.example}', got {shown(text)}{_hint(unit)}")
        # 12 ms as 12 / 1000 is the float nearest to 0.012; 12 * 0.001 is not.
        parts = round(1.0 / factor) if factor < 1.0 else 0
        return number / parts if parts and math.isclose(parts * factor, 1.0) else number * factor

    def _checked(self, number: float, value: object) -> float:
        if not math.isfinite(number) or number > self.largest:
            raise ValueError(
                f"expected {self.what} such as '{self.example}', got {shown(value)}: not a sensible number"
            )
        if number < 0 or (number == 0 and not self.zero):
            raise ValueError(f"expected {self.what} above zero such as '{self.example}', got {shown(value)}")
        return number


size = Quantity("a size", "24 GiB", "B", largest=_MOST_BYTES)
size_or_zero = Quantity("a size", "16 KiB", "B", zero=True, largest=_MOST_BYTES)
bandwidth = Quantity("a bandwidth", "10 Gbit/s", "B/s")
memory_bandwidth = Quantity("a memory bandwidth", "600 GB/s", "B/s")
duration = Quantity("a time", "12 ms", "s")
duration_or_zero = Quantity("a time", "20 us", "s", zero=True)
seconds = Quantity("a number of seconds", "0.011", "s", bare=True)
seconds_or_zero = Quantity("a number of seconds", "0.011", "s", zero=True, bare=True)
compute = Quantity("a compute rate", "40 TFLOP/s", "FLOP/s")
operations_or_zero = Quantity("a number of operations", "0.9 GFLOP", "FLOP", zero=True)
price_per_hour = Quantity("a price", "0.40 $/h", "dollar/h")
price_per_hour_or_zero = Quantity("a price", "0.40 $/h", "dollar/h", zero=True)
power = Quantity("a power", "300 W", "W", zero=True)
token_rate = Quantity("a token rate", "50 token/s", "token/s")
energy_per_token = Quantity("an energy per token", "5 J/token", "J/token")


def requests_per_s(value: object) -> float:
    """Requests/s of ``4/s``, ``90/min`` or a bare number of them; raise `ValueError` for anything else."""
    match = _REQUESTS.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    rate = float(match["number"]) / _PER_S[match["unit"] or "s"] if match and not isinstance(value, bool) else 0.0
    if not rate > 0.0:
        raise ValueError(f"expected requests by time above 0 such as '4/s', got {shown(value)}")
    return rate


def _hint(unit: str) -> str:
    """Say what a common mistake probably meant."""
    if re.fullmatch(r"[kKMGTP]?i?b(/s)?", unit):
        return ": write 'bit' for bits and 'B' for bytes"
    if re.fullmatch(r"[kKmMgGtT][bB]|[gmtk]ib", unit) and unit[-1:] != "B":
        return ": units are case-sensitive (GiB, GB, Gbit)"
    return ""


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint  # here, because it takes a tenth of a second that a plan from Python need not pay

    registry: Any = pint.UnitRegistry(None)
    for item in _PREFIXES.split():
        name, factor = item.split(":")
        registry.define(f"{name}- = {factor}")
    for item in _BINARY.split():
        name, power_of_two = item.split(":")
        registry.define(f"{name}- = {2 ** int(power_of_two)}")
    for line in _UNITS:
        registry.define(line)
    return registry


@lru_cache(maxsize=1024)
def _factor(unit: str, base: str) -> float | None:
    """Return how many `base` one `unit` is, or None when they are different things."""
    import pint

    if not all(_WORD.fullmatch(word) for word in unit.split("/")):
        return None
    registry = _registry()
    try:
        quantity = registry.Quantity(1.0, registry.parse_units(unit.replace("$", "dollar")))
        return float(quantity.to(registry.parse_units(base)).magnitude)
    except (pint.errors.PintError, AttributeError, ValueError, TypeError, ArithmeticError):
        return None
