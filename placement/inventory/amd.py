"""rocm-smi: cards of AMD, as JSON or as text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ..quantities import whole_number
from .found import Found, cards

SERIES = re.compile(r"^GPU\[(\d+)\]\s*:\s*Card [Ss]eries:\s*(.+?)\s*$", re.MULTILINE)
TOTAL = re.compile(r"^GPU\[(\d+)\]\s*:\s*VRAM Total Memory \(B\):\s*(\d+)", re.MULTILINE)


def _data(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) and any(str(key).startswith("card") for key in data) else {}


@dataclass(frozen=True, slots=True)
class Rocm:
    """Both notations."""

    def tells(self, text: str) -> bool:
        """Whether it lists cards."""
        return bool(SERIES.search(text)) or bool(_data(text))

    def read(self, text: str, host: str) -> Found:
        """The cards in the order of their numbers."""
        rows: list[tuple[str, float | None]] = []
        if data := _data(text):
            for key in sorted((key for key in data if re.fullmatch(r"card\d+", key)), key=lambda key: int(key[4:])):
                entry = data[key] if isinstance(data[key], dict) else {}
                words = {str(name).lower(): str(value) for name, value in entry.items()}
                total = whole_number(words.get("vram total memory (b)", ""))
                rows.append((words.get("card series", key), None if total is None else total / 2**20))
        else:
            sizes = {number: float(total) / 2**20 for number, total in TOTAL.findall(text)}
            rows = [(name, sizes.get(number)) for number, name in SERIES.findall(text)]
        return Found(cards(rows, host))


ROCM = Rocm()
