"""Files and places that commands are given: one line with the path, the right exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from placement.cli import run
from tests.objectives.replicated.cases import make_case

from .conftest import TINY, environment

FULL = Path("/dev/full")
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{here}: &{here} [{', '.join(['*' + above] * 9)}]\n" for above, here in zip("abcdefgh", "bcdefghi", strict=True)
)
# Commands with FILE in the place of a file that somebody sent.
DOORS = {
    "solve": ["solve", "FILE", "--time-limit", "0.1"],
    "score": ["score", "FILE", "--spans", "a=0:8"],
    "score, plan": ["score", "tiny.yaml", "--plan", "FILE"],
    "tables": ["tables", "FILE"],
    "export": ["export", "FILE", "--to", "vllm"],
    "import": ["import", "FILE", "--from", "vllm", "--split", "4,4"],
    "import, split": ["import", "tiny.yaml", "--from", "deepspeed", "--split", "FILE"],
    "route": ["route", "FILE"],
    "petals advise": ["petals", "advise", "FILE"],
    "calibrate": ["calibrate", "FILE", "runs.jsonl"],
    "calibrate, runs": ["calibrate", "tiny.yaml", "FILE"],
    "run": ["run", "FILE", "--model", "none"],
    "replan": ["replan", "FILE", "tiny.yaml"],
}
CONTENTS = {
    "deep.json": b"[" * 100_000,
    "deep.yaml": b"- " * 100_000,
    "bomb.yaml": LAUGHS.encode(),
    "binary.jsonl": bytes(range(256)) * 9,
    "long.json": b'{"num_blocks": ' + b"9" * 5000 + b"}",
    "escapes.yaml": b"\x1b]0;owned\x07",
    "twice.json": b'{"kind": 1, "kind": 2}',
    "nothing.json": b"",
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("door", DOORS)
def test_what_somebody_sent_is_refused_in_one_line(
    door: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command refuses every broken file by its name; nothing is called an internal error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "runs.jsonl").write_text("{}")
    (tmp_path / content).write_bytes(CONTENTS[content])
    assert run([content if word == "FILE" else word for word in DOORS[door]]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "internal error" not in err
    assert err[:-1].isprintable()
    assert len(err) < 1000
    if door != "import, split":
        assert content in err


PLACES = {
    "too long": ("n" * 300, "File name too long"),
    "no folder": ("none/x", "there is no such folder"),
    "a folder": (".", "expected a file"),
    "no file system": ("/proc/x", "/proc/x: "),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "words",
    [
        ["solve", "tiny.yaml", "--quiet", "--time-limit", "0.2", "--out"],
        ["solve", "tiny.yaml", "--quiet", "--time-limit", "0.2", "--report"],
        ["tables", "tiny.yaml", "--out"],
        ["route", "swarm.yaml", "--nsga2", "0", "--plot"],
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
def test_places_that_cannot_be_written(
    words: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    server = "{name: a, blocks: '0:4', ms_per_block: 1, tokens_per_s: 1}"
    (tmp_path / "swarm.yaml").write_text(f"blocks: 4\nservers: [{server}]\nrtt_ms: {{a: {{client: 1}}}}\n")
    path, line = PLACES[place]
    assert run([*words, path]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {path[:100]}" if place != "no folder" else "error: none: ")
    assert line in err
    assert err.count("\n") == 1
    assert not [item.name for item in tmp_path.iterdir() if item.name.startswith(".placement")]


@pytest.mark.skipif(not FULL.exists(), reason="no full device here")
def test_an_output_without_room_is_one_line(tmp_path: Path) -> None:
    """A full disk behind stdout: one line, exit code 1, no complaint of Python at exit."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "placement", "schema"],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


def test_schemas_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """The cluster file's is the default; an unknown kind is one line."""
    assert run(["schema"]) == 0
    cluster = json.loads(capsys.readouterr().out)
    assert run(["schema", "cluster"]) == 0
    assert json.loads(capsys.readouterr().out) == cluster
    assert run(["schema", "fleet"]) == 0
    assert "servers" in json.loads(capsys.readouterr().out)["properties"]
    assert run(["schema", "rates"]) == 0
    assert "prompt_tokens_per_s" in json.loads(capsys.readouterr().out)["properties"]
    assert run(["schema", "flet"]) == 1
    assert "'flet'" in capsys.readouterr().err


def test_escape_sequences_of_options_stay_off_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files, options and commands are printed with their control characters written out."""
    nasty = "\x1b]0;owned\x07\x1b[2J"
    for words in ([nasty], ["solve", nasty], ["solve", f"--{nasty}"], ["schema", nasty], ["score", "x", nasty]):
        assert run(words) == 1
        assert capsys.readouterr().err[:-1].isprintable()


@pytest.mark.slow
def test_swarms_and_fleets_may_be_yaml_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fleet in YAML is solved as one in JSON is."""
    text = "num_blocks: 4\nblock_gb: 1\ncache_gb_per_block_job: 0.1\nlambda_per_s: 0.05\n"
    text += "servers: [{id: a, memory_gb: 20, tau_c_s: 0.3, tau_p_s: 0.1}]\n"
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    assert run(["solve", os.fspath(path), "--objective", "rate", "--time-limit", "0.3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["placement"] == [{"node": "a", "start": 0, "stop": 4}]


def test_what_two_files_disagree_on_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs of other nodes, more copies than nodes, and tables that a case does not have, each with its file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "case.json").write_text(json.dumps(make_case(0)))
    span = {"node": "z", "start": 0, "stop": 8}
    measured = {"time_per_token_s": 0.05}
    run_line = {"placement": [span], "measured": measured, "blocks": [], "prompt_tokens": [8], "output_tokens": 4}
    (tmp_path / "runs.jsonl").write_text(json.dumps(run_line))
    copies = ["--set", "placement=replicated", "--set", "objective=flow", "--set", "min_replicas=9"]
    for words, line in (
        (["calibrate", "tiny.yaml", "runs.jsonl"], "runs.jsonl: runs[0]: there is no node 'z'"),
        (["solve", "tiny.yaml", *copies], "tiny.yaml: min_replicas: expected at most 3, the number of nodes, got 9"),
        (["tables", "case.json"], "case.json: has no cost tables by block"),
    ):
        assert run(words) == 1
        assert line in capsys.readouterr().err
