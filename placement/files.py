"""Files in and out: what cannot be read or written is one line that names the file."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
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


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write text or bytes to `path` by a rename; raise `InputError` when the place cannot be written."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent or Path("."), prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(error.strerror or str(error), str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        os.unlink(name)
        raise InputError(error.strerror or str(error), str(path)) from None
    except BaseException:
        os.unlink(name)
        raise


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: texts as keys, lists for tuples, null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
