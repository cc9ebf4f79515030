"""Cluster files and networkx graphs, each turned into a `Request` or a `Cluster`.

`read_request` stands here too: ``from placement.readers.cluster import read_request``.
"""

from __future__ import annotations

from typing import Any

from placement.plugins import attribute


def __getattr__(name: str) -> Any:
    """Import `read_request` when it is used: its readers import this package first."""
    if name == "read_request":
        return attribute(".read:read_request", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
