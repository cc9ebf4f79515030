"""Entry points as if they were installed, whatever is."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from placement import plugins

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def of_the_sources() -> list[EntryPoint]:
    """Those of pyproject.toml."""
    groups = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]
    return [EntryPoint(name, value, group) for group, points in groups.items() for name, value in points.items()]


@contextmanager
def installed(points: Iterable[EntryPoint]) -> Iterator[None]:
    """Let exactly these entry points be found while the body runs."""
    points = list(points)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "entry_points", lambda group: [point for point in points if point.group == group])
        plugins.plugins.cache_clear()
        try:
            yield
        finally:
            plugins.plugins.cache_clear()
