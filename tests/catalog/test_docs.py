"""docs/models.md says what the catalog does: its commands and its cluster file run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from placement.commands import catalog
from placement.readers.cluster.read import read_request

TEXT = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    placement (catalog .*)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str) -> None:
    """Every command of the page finds something."""
    import typer

    app = typer.Typer()
    catalog.register(app)
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 1


def test_the_cluster_file_is_read() -> None:
    """The instances of the page are nine nodes."""
    block = re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    request = read_request({"model": "llama-3.1-8b", **yaml.safe_load(block[1])})
    assert len(request.cluster.nodes) == 9


def test_models_that_share_a_preset() -> None:
    """The aliases that the page names lead where it says."""
    from placement.catalog.presets import preset

    for alias, name in re.findall(r"`([\w.-]+)` is\s+`([\w.-]+)`", TEXT):
        found = preset(alias)
        assert found is not None
        assert found.name == name
