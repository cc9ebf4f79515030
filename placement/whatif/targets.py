"""What must be reached, as people write it: ``tokens_per_s >= 20``, ``ttft <= 1 s``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from objectives.combine import TermSet

from ..errors import InputError, nearest, shown
from ..readers import units
from ..readers.units import Quantity

TARGET = re.compile(r"\s*(?P<name>\w+)\s*(?P<sign>>=|<=|>|<)\s*(?P<value>\S.*?)\s*")
UNITS: Mapping[str, Quantity] = {
    "s": units.duration,
    "s/token": units.duration,
    "tokens/s": units.token_rate,
    "$/h": units.price_per_hour,
    "J/token": units.energy_per_token,
    "B": units.size,
}


@dataclass(frozen=True, slots=True)
class Target:
    """A term with the value that it must reach, in the unit that people read."""

    term: str
    value: float
    words: str


def parse_targets(texts: Sequence[str], terms: TermSet) -> tuple[Target, ...]:
    """Read targets of one kind's terms, each by the name of a figure, of a term, or of a limit.

    Parameters
    ----------
    texts : sequence of str
        Several in one text are separated by commas.
    terms : TermSet

    Raises
    ------
    InputError
        A name is unknown, a sign points the wrong way, or a value has another unit.
    """
    found: list[Target] = []
    for text in (part for whole in texts for part in whole.split(",")):
        match = TARGET.fullmatch(text)
        if match is None:
            raise InputError(
                f"expected a figure and its value such as 'tokens_per_s >= 20', got {shown(text)}", "--target"
            )
        term = _term(match["name"], terms)
        up = term in terms.maximised
        if match["sign"][0] != (">" if up else "<"):
            side = ">=" if up else "<="
            raise InputError(
                f"expected {match['name']} {side} ..., of which {'more' if up else 'less'} is better", "--target"
            )
        if any(other.term == term for other in found):
            raise InputError(f"'{match['name']}' is given twice", "--target")
        found.append(Target(term, _value(match["value"], terms.units[term]), text.strip()))
    if not found:
        raise InputError("expected at least one, such as 'tokens_per_s >= 20'", "--target")
    return tuple(found)


def _term(name: str, terms: TermSet) -> str:
    known = {figure: term for term, figure in terms.figures.items()}
    known |= dict(terms.limits) | dict(terms.aliases) | {term: term for term in terms.names}
    if name not in known:
        raise InputError(f"unknown figure '{name}'{nearest(name, known)} (known: {', '.join(known)})", "--target")
    return known[name]


def _value(text: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        if unit not in UNITS:
            raise InputError(f"expected a number, got {shown(text)}", "--target") from None
        try:
            return UNITS[unit](text)
        except ValueError as error:
            raise InputError(str(error), "--target") from None
    if not 0 < value < 1e30:
        raise InputError(f"expected a number above 0, got {shown(text)}", "--target")
    return value
