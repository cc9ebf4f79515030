"""Files in: what cannot be read is one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import InputError


def read_text(path: str | Path) -> str:
    """Read a text file; raise `InputError` when it cannot be opened."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(error.strerror or str(error), str(path)) from None


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raise `InputError` when it cannot be opened or is none."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"not a JSON file ({error})", str(path)) from None
