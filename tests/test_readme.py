"""The README says what the code does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import placement
from placement.cli import OWN, SOURCES_ONLY
from placement.readers.schema.file import ClusterFile, Limits, WorkloadEntry
from placement.readers.schema.model import BlockEntry, InlineModel, TieEntry
from placement.readers.schema.nodes import Between, Client, ClientLink, Network, NodeEntry, Pair
from placement.registry import SOLVERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PARTS = (
    ClusterFile,
    Limits,
    WorkloadEntry,
    Between,
    Client,
    ClientLink,
    Network,
    NodeEntry,
    Pair,
    BlockEntry,
    InlineModel,
    TieEntry,
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_key_is_documented(part: type[ClusterFile]) -> None:
    """Each key that a file may have is in the reference."""
    words = set(re.findall(r"\w+", README))
    assert not {name for name in part.model_fields if name not in words}


def test_every_solver_is_documented() -> None:
    """The table of solvers has them all."""
    assert not {name for name in SOLVERS if f"`{name}`" not in README}


def test_commands_are_documented() -> None:
    """Every command, those of the sources too, is in the table of commands."""
    assert not {name for name in (*OWN, *SOURCES_ONLY) if f"`placement {name}" not in README}


def test_the_example_is_the_one_that_runs() -> None:
    """The README's example is examples/python_api.py."""
    example = re.search(r"## From Python\n\n```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    source = (ROOT / "examples" / "python_api.py").read_text(encoding="utf-8")
    assert source.endswith(example[1])


def test_the_solver_is_the_one_that_runs() -> None:
    """Every line of the README's solver is in examples/own_solver.py."""
    listing = re.search(r"\n(@dataclass\(frozen=True\)\nclass HillClimber.*?)\n\noptimize", README, re.DOTALL)
    assert listing is not None
    source = (ROOT / "examples" / "own_solver.py").read_text(encoding="utf-8")
    lines = [line for line in listing[1].splitlines() if line.strip() and "def search" not in line]
    assert not [line for line in lines if line not in source]


def test_public_names_are_documented() -> None:
    """Each name of the package is on the page of the API, exists, and has a docstring of its own."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in placement.__all__:
        assert f"`{name}" in page, name
        found = getattr(placement, name)
        assert name == "__version__" or (found.__doc__ and found.__doc__.strip()), name


def test_public_functions_say_what_they_take_and_raise() -> None:
    """The docstring of a public function with three parameters or more has them, and what it raises."""
    for name in placement.__all__:
        found = getattr(placement, name)
        if inspect.isfunction(found) and len(inspect.signature(found).parameters) >= 3:
            assert "Parameters\n" in (found.__doc__ or ""), name
            assert "Raises\n" in (found.__doc__ or ""), name


def code_blocks() -> list[str]:
    """Python listings of the README and of the pages that can run as they stand."""
    texts = [(ROOT / "docs" / "api.md").read_text(encoding="utf-8")]
    return [listing for text in texts for listing in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


@pytest.mark.parametrize("listing", code_blocks())
def test_listings_run(listing: str) -> None:
    """What the page of the API prints is what runs."""
    exec(compile(listing, "docs/api.md", "exec"), {})
