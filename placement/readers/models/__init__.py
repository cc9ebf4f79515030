"""Models: configurations, checkpoints, GGUF files, modules and presets, each turned into a `Model`.

`read_model` stands here too: ``from placement.readers.models import read_model``.
"""

from __future__ import annotations

from placement.plugins import exporter

__getattr__ = exporter({"read_model": ".read:read_model"}, __name__)  # its readers import this package first
