"""The YAML tables beside this file, each read once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is five times as fast, where it exists


@cache
def load(name: str) -> Any:
    """Return the content of a table of the catalog, given by its path below this folder."""
    return yaml.load(files(__package__).joinpath(name).read_text(encoding="utf-8"), Loader=_Loader)
