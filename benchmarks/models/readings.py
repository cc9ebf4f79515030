"""Write what transformers makes of the presets that no formula serves: catalog/readings, which ships with the package.

    python -m benchmarks.models.readings          # writes what is missing, removes what no preset needs
    python -m benchmarks.models.readings --anew   # reads all of them again

A preset is then read without torch and without transformers. The files are found by the hash of the configuration, see
placement/readers/models/remembered.py.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from placement.catalog.presets import models
from placement.readers.models.formulas import from_formulas
from placement.readers.models.library.language import read_library
from placement.readers.models.parts import Shape
from placement.readers.models.remembered import EDITION, key_of, to_plain

FOLDER = Path(__file__).parents[2] / "placement" / "catalog" / "readings"


def main(anew: bool) -> None:
    """Write the readings of all presets."""
    FOLDER.mkdir(exist_ok=True)
    needed = set()
    for preset in models().values():
        if isinstance(from_formulas(preset.config, preset.name), Shape):
            continue
        file = FOLDER / f"{key_of(preset.config)}.json"
        needed.add(file.name)
        if file.is_file() and not anew:
            continue
        begin = time.monotonic()
        shape = read_library(preset.config, preset.name)
        # No version: what ships holds for every version of transformers, and without it.
        stored = {"edition": EDITION, "transformers": "", "preset": preset.name, "shape": to_plain(shape)}
        file.write_text(json.dumps(stored, separators=(",", ":")) + "\n", encoding="utf-8")
        sys.stdout.write(f"{preset.name}: {file.name}, {time.monotonic() - begin:.1f} s\n")
    for file in FOLDER.glob("*.json"):
        if file.name not in needed:
            file.unlink()


if __name__ == "__main__":
    main("--anew" in sys.argv[1:])
