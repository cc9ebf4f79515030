"""Fixtures of the tests that need Petals: they run in an environment of their own, and are skipped everywhere else.

pip install -r tests/petals/requirements.txt
pip install --no-deps -r tests/petals/requirements-petals.txt -e .
python -m pytest -m petals tests/petals/installed
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
THERE = importlib.util.find_spec("petals") is not None and importlib.util.find_spec("hivemind") is not None


@pytest.fixture(scope="session")
def shim() -> object:
    """Import Petals, with what it lacks; skip where it is not installed."""
    if not THERE:
        pytest.skip("Petals is not installed here")
    return importlib.import_module("shim")
