"""Cluster files and networkx graphs, each turned into a `Request` or a `Cluster`.

`read_request` stands here too: ``from placement.readers.cluster import read_request``.
"""

from __future__ import annotations

from placement.plugins import exporter

__getattr__ = exporter({"read_request": ".read:read_request"}, __name__)  # its readers import this package first
