"""The three kinds of text for a Petals swarm say the same, and are read back to the same plan."""

from __future__ import annotations

import shlex

import pytest
import yaml

from placement.errors import InputError
from placement.export.api import export_plan
from placement.export.base import Source
from placement.export.petals import Petals

from .plans import from_owners

OWNERS = ["big", "big", "big", "old box", "old box", "big", "big"]


@pytest.mark.parametrize("style", ["", "shell", "systemd", "compose"])
def test_ranges_are_those_of_the_plan(style: str) -> None:
    """Embed and the first two layers, two layers, a layer and the head."""
    exported = export_plan(from_owners(OWNERS), "petals", model="org/model", style=style)
    words = commands(exported.text, style)
    assert [part[part.index("--block_indices") + 1] for part in words] == ["0:2", "2:4", "4:5"]
    assert ["--new_swarm" in part for part in words] == [True, False, False]
    assert [part[2] for part in words] == ["org/model"] * 3


def commands(text: str, style: str) -> list[list[str]]:
    """What comes after ``python`` in each server's command."""
    if style == "compose":
        return [service["command"][1:] for service in yaml.safe_load(text)["services"].values()]
    lines = [line for line in text.splitlines() if "run_server" in line]
    return [shlex.split(line.partition("python")[2]) for line in lines]


@pytest.mark.parametrize("style", ["shell", "systemd", "compose"])
def test_every_style_reads_back(style: str) -> None:
    """Ranges and nodes are found in all three."""
    plan = from_owners(OWNERS)
    text = export_plan(plan, "petals", style=style).text
    assert Petals().read(Source(text, plan.n_blocks - 2)) == plan.placement


def test_two_names_that_look_alike_are_two_servers() -> None:
    """Services of nodes that differ in blanks only have different names."""
    exported = export_plan(from_owners(["a b", "a b", "a b", "a-b", "a-b", "ä", "ä"]), "petals", style="compose")
    assert list(yaml.safe_load(exported.text)["services"]) == ["petals-a-b", "petals-a-b-2", "petals-node"]


def test_a_compose_file_is_yaml_with_a_service_for_every_server() -> None:
    """A node with two ranges has two services of different names."""
    exported = export_plan(from_owners(OWNERS), "petals", style="compose")
    services = yaml.safe_load(exported.text)["services"]
    assert list(services) == ["petals-big", "petals-old-box", "petals-big-2"]
    assert services["petals-big-2"]["command"][-4:] == ["--block_indices", "4:5", "--initial_peers", "${PEER}"]


def test_units_have_their_three_parts() -> None:
    """One unit for each server."""
    text = export_plan(from_owners(OWNERS), "petals", style="systemd").text
    assert [text.count(part) for part in ("[Unit]", "[Service]", "[Install]", "ExecStart=")] == [3] * 4
    assert text.count("EnvironmentFile=/etc/petals/peer") == 2


def test_other_styles_are_refused() -> None:
    """The ones that exist are named."""
    with pytest.raises(InputError, match="shell, systemd, compose"):
        export_plan(from_owners(OWNERS), "petals", style="upstart")
    with pytest.raises(InputError, match="none"):
        export_plan(from_owners(["a"] * 7), "vllm", style="systemd")
