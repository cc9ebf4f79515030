"""The page of examples and the docs say what the exporters do."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from placement.export import RUNTIMES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_script_makes() -> None:
    """examples/runtimes.md; `python examples/runtimes.py --write` brings it up to date."""
    made = runpy.run_path(str(ROOT / "examples" / "runtimes.py"))["document"]()
    assert (ROOT / "examples" / "runtimes.md").read_text(encoding="utf-8") == made


@pytest.mark.parametrize("file", ["README.md", "docs/runtimes.md"])
def test_every_runtime_is_documented(file: str) -> None:
    """All names are in the docs."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not {name for name in RUNTIMES if f"`{name}`" not in text}
