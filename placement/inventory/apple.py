"""system_profiler: Macs with Apple's own chips, as text or as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .found import Found, FoundNode, card

CHIP = re.compile(r"^\s*Chip:\s*(Apple .+?)\s*$", re.MULTILINE)
MEMORY = re.compile(r"^\s*Memory:\s*(\d+) GB", re.MULTILINE)


def _hardware(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    rows = data.get("SPHardwareDataType") if isinstance(data, dict) else None
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}


@dataclass(frozen=True, slots=True)
class Profiler:
    """Both notations."""

    def tells(self, text: str) -> bool:
        """Whether it tells of a Mac."""
        return "Hardware Overview:" in text or bool(_hardware(text))

    def read(self, text: str, host: str) -> Found:
        """One node: the chip with its unified memory."""
        entry = _hardware(text)
        chip = str(entry.get("chip_type", "")) or next(iter(CHIP.findall(text)), "")
        size = re.match(r"\d+", str(entry.get("physical_memory", ""))) or MEMORY.search(text)
        if not chip:
            raise InputError("expected a Mac with a chip of Apple, got one of Intel: give its card with its figures")
        mib = float(size[1] if size.re is MEMORY else size[0]) * 1024 if size is not None else None
        return Found((mac(host, chip, mib),))


def mac(host: str, chip: str, memory_mib: float | None) -> FoundNode:
    """A Mac, as the device of the catalog with that much memory where there is one."""
    if memory_mib:
        sized = card(host, f"{chip} {memory_mib / 1024:.0f}GB".lower().replace("apple ", "").replace(" ", "-"), host)
        if sized.get("device") is not None:
            return sized
    return card(host, chip, host, memory_mib)


PROFILER = Profiler()
