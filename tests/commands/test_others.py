"""score, tables, catalog, schema, --help and --version."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from .conftest import Cli


def test_score_says_how_much_worse_and_why(cli: Cli, tiny: Path) -> None:
    """A split through the slow node is worse; the difference is put into words."""
    done = cli("score", tiny, "--spans", "a=0:4,c=4:5,b=5:8", "--time-limit", 2, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["gap_to_best"] > 0.05
    assert any("hops: 2" in line for line in data["why"])
    assert data["yours"]["placement"][1] == {"node": "c", "start": 4, "stop": 5}


def test_score_of_the_best_plan(cli: Cli, tiny: Path) -> None:
    """The plan that solve wrote has no gap to the best."""
    cli("solve", tiny, "--quiet", "--out", "plan.json")
    done = cli("score", tiny, "--plan", "plan.json", "--time-limit", 1)
    assert done.returncode == 0, done.stderr
    assert "proven optimal" in done.stdout or "nothing better was found" in done.stdout


def test_tables(cli: Cli, tiny: Path) -> None:
    """The tables come with the names of their rows and columns."""
    data = json.loads(cli("tables", tiny).stdout)
    assert data["nodes"] == ["a", "b", "c"]
    assert len(data["decode_s"][0][0]) == len(data["blocks"]) == 8
    assert data["decode_s"][0][1][0] == 0.015


def test_tables_of_a_stream_of_requests(cli: Cli, tiny: Path) -> None:
    """What a stream costs is part of the tables: arrays by name, one number for each size, node and block."""
    done = cli("tables", tiny, "--set", "workload.concurrency=4", "--set", "runtime=vllm")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert np.shape(data["served"]["short_s"]) == np.shape(data["decode_s"]) == (len(data["batches"]), 3, 8)
    assert data["served"]["staged"] is True


CATALOG = [
    ("devices", 40, "rtx-4090"),
    ("models", 25, "llama-3.1-70b"),
    ("links", 10, "ethernet-10g"),
    ("instances", 40, "g5.12xlarge"),
    ("formats", 50, "nvfp4"),
]


@pytest.mark.parametrize(("kind", "least", "known"), CATALOG)
def test_catalog(cli: Cli, kind: str, least: int, known: str) -> None:
    """The catalog is a table for people and JSON for programs."""
    entries = json.loads(cli("catalog", kind, "--json").stdout)
    assert len(entries) >= least
    assert all(entry["source"] for entry in entries)
    assert known in {entry["name"] for entry in entries}
    table = cli("catalog", kind, known).stdout
    assert known in table
    assert max(map(len, table.splitlines())) <= 80


def test_catalog_finds_aliases(cli: Cli) -> None:
    """A word finds models by the names that people use, and nothing that merely has its letters in a row."""
    table = cli("catalog", "models", "r1").stdout
    assert "deepseek-v3" in table
    assert "llama-3.1-8b" in table
    assert "super-120b" not in table
    assert "rtx-4090" in cli("catalog", "devices", "RTX 4090").stdout


def test_schema(cli: Cli) -> None:
    """The schema is JSON and knows the keys of a file."""
    assert {"model", "nodes", "network", "limits"} <= set(json.loads(cli("schema").stdout)["properties"])


def test_help_and_version(cli: Cli) -> None:
    """--help lists the commands; so does no argument at all."""
    for arguments in ((), ("--help",)):
        done = cli(*arguments)
        assert done.returncode == 0
        assert "solve" in done.stdout
        assert "score" in done.stdout
    assert cli("--version").stdout.strip().count(".") == 2
    assert "--time-limit" in cli("solve", "--help").stdout
