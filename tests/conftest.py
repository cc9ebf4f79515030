"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A shared machine is slow at times: how long an example takes says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the folder of a tiny model of an architecture, made once."""
    pytest.importorskip("transformers")
    from tests.run.tiny_models import save_model

    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_model(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of replicated placements first: two workers get a half each, and one of them compiles their kernels."""
    items.sort(key=lambda item: "replicated" not in item.nodeid)
