"""Names of devices as drivers, vendors and clouds write them, in the words of the catalog."""

from __future__ import annotations

import difflib
import re

from .tables import load

_NOISE = frozenset(load("device_names.yaml")["vendor_words"])
_SIGNS = re.compile(r"\((?:r|tm|c)\)|[®™©,+]| @ [\d.]+ ?ghz|\b\d+-core\b", re.IGNORECASE)
_SIZE = re.compile(r"(\d{1,4})gb")
_FORM = re.compile(r"sxm\d?|pcie|oam|nvl")
_RAM = re.compile(
    r"^(?P<name>[a-z0-9-]*-(?P<channels>\d{1,2})ch(?:-\d{1,4}gb)?)"
    r"@(?:(?:lp)?ddr\d?x?-?)?(?P<speed>\d{3,5})(?:x(?P<other>\d{1,2}))?$"
)


def plain(name: str) -> str:
    """Return 'RTX 4090' and 'rtx_4090' as 'rtx-4090'."""
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def spellings(name: str) -> list[str]:
    """Return the names under which the catalog may know what a driver, a vendor or a cloud calls `name`.

    The first are the closest: the name itself, then without the vendor's words, then with the form (SXM, PCIe) before
    the size of the memory or after it.
    """
    first = plain(_SIGNS.sub("", name))
    words = [word for word in first.split("-") if word and word not in _NOISE]
    sizes = [word for word in words if _SIZE.fullmatch(word)]
    forms = [word for word in words if _FORM.fullmatch(word)]
    rest = [word for word in words if word not in sizes and word not in forms]
    kept = [form.rstrip("0123456789") for form in forms]
    orders = (words, [*rest, *sizes, *forms], [*rest, *sizes, *kept], [*rest, *kept, *sizes])
    return list(dict.fromkeys([first, *("-".join(order) for order in orders)]))


def without_size(name: str) -> tuple[str, int] | None:
    """Return a name without the size of the memory, and that size in GB; None for a name that states none."""
    word = spellings(name)[1] if len(spellings(name)) > 1 else plain(name)
    words = word.split("-")
    sizes = [found for part in words if (found := _SIZE.fullmatch(part))]
    if len(sizes) != 1:
        return None
    return "-".join(part for part in words if part != sizes[0].group(0)), int(sizes[0].group(1))


def closest(name: str, known: list[str]) -> str:
    """Return a hint to the catalog's name that was meant, of the same family; empty where there is none."""
    for word in spellings(name):
        family = _family(word)
        close = difflib.get_close_matches(word, [other for other in known if _family(other) == family], 1, _ALIKE)
        if close:
            return f"; did you mean '{close[0]}'?"
    return ""


_ALIKE = 0.8
"""Share of letters that two names must have in common: a wrong device is worse than no hint."""


def _family(name: str) -> str:
    """Return the letters that a name begins with: 'rtx' of 'rtx-4090'."""
    found = re.match(r"[a-z]+", name)
    return found.group(0) if found else ""


def ram_speed(name: str) -> tuple[str, float] | None:
    """Return the device and its memory bandwidth in bytes/s of a name with a transfer rate, or None.

    `xeon-skylake-6ch@2666` has six channels of 2,666 MT/s, `xeon-skylake-6ch@DDR4-2400x4` only four of them filled; a
    channel is 8 bytes wide.
    """
    found = _RAM.match(plain(name))
    if found is None:
        return None
    channels = int(found["other"] or found["channels"])
    return found["name"], channels * 8.0 * int(found["speed"]) * 1e6
