"""Infeasible requests: exit code 2, and what is missing in bytes or seconds."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Cli


def test_model_bigger_than_the_cluster(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    """The missing bytes are told, and the plan file stays as it was."""
    (tmp_path / "plan.json").write_text("before")
    done = cli("solve", tiny, "--set", "exclude=[a, b]", "--out", "plan.json", "--json")
    assert done.returncode == 2
    data = json.loads(done.stdout)
    assert data["status"] == "infeasible"
    assert "MiB are missing" in " ".join(data["reasons"]) or "GiB are missing" in " ".join(data["reasons"])
    assert done.stderr.startswith("infeasible: ")
    assert (tmp_path / "plan.json").read_text() == "before"


def test_block_that_fits_nowhere(cli: Cli, tiny: Path) -> None:
    """The block is named, and the largest room for it."""
    done = cli("solve", tiny, "--set", "model.blocks[2].weights='3 GiB'")
    assert done.returncode == 2
    assert "block 'head' needs 3 GiB and fits nowhere" in done.stderr
    assert done.stdout == ""


def test_limit_that_cannot_be_met(cli: Cli, tiny: Path) -> None:
    """The best possible value is told."""
    done = cli("solve", tiny, "--set", "limits.time_per_token=50 ms", "--time-limit", 1, "--json")
    assert done.returncode == 2
    (reason,) = json.loads(done.stdout)["reasons"]
    assert reason.startswith("limits.time_per_token: 50 ms cannot be met: the best possible is 98.1")


def test_score_of_an_infeasible_split(cli: Cli, tiny: Path) -> None:
    """A split that does not fit exits with 2 and says what it lacks; the best plan is shown all the same."""
    done = cli("score", tiny, "--spans", "a=0:8", "--time-limit", 1, "--json")
    data = json.loads(done.stdout)
    assert done.returncode == 2
    assert data["status"] == "infeasible"
    assert data["broken"][0].startswith("a lacks ")
    assert data["best"]["status"] == "solved"
