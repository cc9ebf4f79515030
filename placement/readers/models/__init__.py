"""Models: configurations, checkpoints, GGUF files, modules and presets, each turned into a `Model`.

`read_model` stands here too: ``from placement.readers.models import read_model``.
"""

from __future__ import annotations

from typing import Any

from placement.plugins import attribute


def __getattr__(name: str) -> Any:
    """Import `read_model` when it is used: its readers import this package first."""
    if name == "read_model":
        return attribute(".read:read_model", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
