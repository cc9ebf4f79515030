"""Mistakes: one line that names the place, exit code 1, no traceback, nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from placement.cli import run
from tests.sampled import some_quick

from .conftest import TINY, Cli

# Arguments after `solve tiny.yaml`, and a part of the line.
ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "unknown option": (["--slover", "auto"], "No such option"),
    "unknown solver": (["--solver", "anealing"], "did you mean 'annealing'?"),
    "unknown objective": (["--objective", "latncy"], "did you mean 'latency'?"),
    "empty objective": (["--objective", ""], "unknown objective ''"),
    "objective twice": (["--objective", "latency,latency"], "twice"),
    "negative seed": (["--seed", "-1"], "'--seed'"),
    "seed in words": (["--seed", "one"], "'--seed'"),
    "no time": (["--time-limit", "0"], "time_limit: expected a positive number"),
    "negative time": (["--time-limit", "-3"], "time_limit: expected a positive number"),
    "time that is none": (["--time-limit", "nan"], "time_limit: expected a positive number"),
    "time in words": (["--time-limit", "soon"], "'--time-limit'"),
    "null character": (["--report", "a\0b"], "expected arguments without null characters"),
    "set without value": (["--set", "objective"], "expected key=value"),
    "set of an unknown key": (["--set", "objectiv=latency"], "did you mean 'objective'?"),
    "set beyond a list": (["--set", "nodes[9].memory=1 GiB"], "there is no [9]"),
    "set with a bad path": (["--set", "[0]=1"], "expected a key path"),
    "set of broken YAML": (["--set", "nodes=["], "not valid YAML"),
    "negative memory": (["--set", "nodes[0].memory=-4 GiB"], "nodes[0].memory: expected a size above zero"),
    "wrong unit": (["--set", "nodes[0].memory=4 GB/s"], "nodes[0].memory: expected a size"),
    "bare number": (["--set", "nodes[0].memory=4"], "nodes[0].memory: expected a size"),
    "NaN": (["--set", "nodes[0].decode_seconds_per_block=.nan"], "decode_seconds_per_block"),
    "zero tokens": (["--set", "workload.output_tokens=0"], "workload.output_tokens"),
    "zero concurrency": (["--set", "workload.concurrency=0"], "workload.concurrency"),
    "half a sequence": (
        ["--set", "workload.concurrency=1.5"],
        "expected max, or a whole number of at least 1, got 1.5",
    ),
    "same name": (["--set", "nodes[1].name=a"], "the node name 'a' is used twice"),
    "no nodes": (["--set", "nodes=[]"], "nodes: expected at least 1"),
    "pin to nobody": (["--set", "pins={embed: d}"], "there is no node 'd'"),
    "pin of no block": (["--set", "pins={embd: a}"], "did you mean 'embed'?"),
    "exclude nobody": (["--set", "exclude=[d]"], "there is no node 'd'"),
    "exclude all": (["--set", "exclude=[a, b, c]"], "at least one node that is not excluded"),
    "exclude and include": (["--set", "exclude=[a]", "--set", "include=[a]"], "is in exclude too"),
    "no node allowed": (["--set", "max_nodes=0"], "max_nodes"),
    "limit without unit": (["--set", "limits.ttft=2 GiB"], "limits.ttft"),
    "negative limit": (["--set", "limits.ttft=-2 s"], "limits.ttft"),
    "unknown limit": (["--set", "limits.tftt=2 s"], "did you mean 'ttft'?"),
    "limit without value": (["--limit", "ttft"], "--limit: expected NAME=VALUE, got 'ttft'"),
    "limit by an option": (["--limit", "tftt=2s"], "did you mean 'ttft'?"),
    "goodput without a rate": (["--objective", "goodput"], "workload.rate: goodput needs the rate"),
    "goodput without limits": (["--objective", "goodput", "--rate", "4/s"], "limits: goodput needs ttft"),
    "goodput at no rate": (["--objective", "goodput", "--rate", "0/s"], "--rate: expected requests by time above 0"),
    "two rates": (["--objective", "goodput", "--rate", "1/s,2/s"], "--rate: expected requests by time above 0"),
    "goodput in a front": (["--objective", "goodput,latency"], "stands alone"),
    "a limit on goodput without a rate": (
        ["--limit", "goodput=3/s", "--limit", "ttft=2s"],
        "workload.rate: goodput needs",
    ),
    "a limit on goodput of tokens": (
        ["--limit", "goodput=3 token/s"],
        "limits.goodput: expected requests by time above 0",
    ),
    "goodput explained": (
        ["--objective", "goodput", "--rate", "1/s", "--limit", "ttft=2s", "--explain"],
        "--explain: does not apply to goodput",
    ),
    "too many nodes": (["--set", "nodes[0].count=10001"], "at most 10000"),
    "too many blocks": (["--set", "model.blocks[1].repeat=10001"], "at most 10000"),
    "no such model": (["--model", "llama-3.1-7b"], "did you mean 'llama-3.1"),
    "no such model file": (["--model", "nowhere/config.json"], "nowhere/config.json"),
    "unknown device": (["--set", "nodes[0].device=rtx-4091"], "did you mean 'rtx-4090'?"),
    "no network": (["--set", "network={}"], "network"),
    "start from nowhere": (["--start", "nowhere.json"], "nowhere.json"),
    "start from a cluster file": (["--start", "tiny.yaml"], "not valid JSON"),
    "start from other JSON": (["--start", "other.json"], "expected a plan"),
    "start from a list": (["--start", "list.json"], "expected a plan"),
    "out into no folder": (["--out", "nowhere/plan.json"], "there is no such folder"),
    "out onto a folder": (["--out", "."], "expected a file to write, got a folder"),
    "report into no folder": (["--report", "nowhere/page.html"], "there is no such folder"),
    "two files": (["tiny.yaml"], "unexpected extra argument"),
}
# Contents of a cluster file.
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "got nothing"),
    "binary": (b"\xff\xfe\x00\x01", "UTF-8"),
    "list": (b"- 1", "expected a mapping"),
    "broken": (b"model: [", "not valid YAML"),
    "bomb": (b"a: &a [1, 2]\n" + b"".join(b"k%d: &k%d [*a, *a]\n" % (k, k) for k in range(60)), "aliases"),
    "big": (b"#" * 10_000_001, "at most 10 MB"),
    "other keys": (b"hosts: []", "unknown key 'hosts'"),
    "no model": (TINY.split("model:")[0].encode() + TINY[TINY.index("workload:") :].encode(), "model: this key is"),
}
# Whole command lines.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "unknown command": (["sovle"], "no such command 'sovle'; did you mean 'solve'?"),
    "no file": (["solve"], "expected a file, or --here for this machine"),
    "file that is not there": (["solve", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
    "folder": (["solve", "."], "expected a file, got a folder"),
    "unknown kind": (["catalog", "gpus"], "gpus"),
    "no split": (["score", "tiny.yaml"], "expected either --spans or --plan"),
    "two splits": (["score", "tiny.yaml", "--spans", "a=0:8", "--plan", "x"], "expected either --spans or --plan"),
    "spans in words": (["score", "tiny.yaml", "--spans", "a"], "expected node=start:stop, got 'a'"),
    "span without stop": (["score", "tiny.yaml", "--spans", "a=0"], "expected node=start:stop, got 'a=0'"),
    "span of nobody": (["score", "tiny.yaml", "--spans", "aa=0:8"], "did you mean 'a'?"),
    "spans with a hole": (["score", "tiny.yaml", "--spans", "a=0:3,b=4:8"], "start at block 3, got 4:8"),
    "spans that overlap": (["score", "tiny.yaml", "--spans", "a=0:3,b=2:8"], "start at block 3, got 2:8"),
    "spans too short": (["score", "tiny.yaml", "--spans", "a=0:3"], "the spans end at block 3"),
    "spans too long": (["score", "tiny.yaml", "--spans", "a=0:99"], "the spans end at block 99"),
    "empty span": (["score", "tiny.yaml", "--spans", "a=0:0,b=0:8"], "got 0:0"),
    "plan of another model": (["score", "tiny.yaml", "--plan", "other.json"], "expected a plan"),
    "plan with odd spans": (["score", "tiny.yaml", "--plan", "odd.json"], "placement[0].start: expected"),
    "plan of a stranger": (["score", "tiny.yaml", "--plan", "stranger.json"], "stranger.json: the plan uses node 'zz'"),
    "plan of no kind, export": (["export", "kindless.json", "--to", "vllm"], "kindless.json: kind: unknown kind 'x'"),
    "plan of no kind, replan": (["replan", "kindless.json", "tiny.yaml"], "kindless.json: kind: unknown kind 'x'"),
    "plan of no kind, run": (["run", "kindless.json", "--model", "x"], "kindless.json: kind: unknown kind 'x'"),
    "plan of no kind, show": (["show", "kindless.json"], "kindless.json: kind: unknown kind 'x'"),
    "plan of no kind, report": (["report", "kindless.json"], "kindless.json: kind: unknown kind 'x'"),
    "plan of no kind, simulate": (["simulate", "kindless.json", "tiny.yaml"], "kindless.json: kind: unknown kind 'x'"),
    "rows of no table": (
        ["report", "stranger.json", "--whatif", "rows.json"],
        "rows.json: changes[0].change: expected",
    ),
    "a word for rows": (["report", "stranger.json", "--simulated", "word.json"], "word.json: expected a JSON document"),
    "home of nobody": (["tables", "tiny.yaml", "--model", "~nobody-of-that-name/config.json"], "no such file"),
    "goodput of a split": (
        [
            "score",
            "tiny.yaml",
            "--spans=a=0:8",
            "--objective=goodput",
            "--set=workload.rate=1",
            "--set=limits.ttft=1 s",
        ],
        "a layout is not judged by goodput",
    ),
    "front of a split": (["score", "tiny.yaml", "--spans", "a=0:8", "--objective", "latency,price"], "one objective"),
}
# A plan whose spans somebody has edited badly.
VALUE = {"name": "latency", "value": 1.0, "unit": "s/token", "sense": "minimize", "proven_optimal": False}
ODD = json.dumps(
    {
        "status": "solved",
        "model": "m",
        "n_blocks": 8,
        "placement": [{"node": "a", "start": "0", "stop": 8}],
        "objective": VALUE,
        "figures": {},
    }
)
STRANGER = ODD.replace('"0"', "0").replace('"node": "a"', '"node": "zz"')
KINDLESS = json.dumps(json.loads(ODD.replace('"0"', "0")) | {"kind": "x"})
CASES = {
    **{f"solve, {name}": (["solve", "tiny.yaml", *words], line) for name, (words, line) in ARGUMENTS.items()},
    **{f"file, {name}": (["solve", f"{name}.yaml"], line) for name, (_, line) in FILES.items()},
    **COMMANDS,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good file, bad files and a plan that must not change."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "odd.json").write_text(ODD)
    (tmp_path / "stranger.json").write_text(STRANGER)
    (tmp_path / "rows.json").write_text(json.dumps({"changes": [{"shown": "9"}]}))
    (tmp_path / "word.json").write_text('"b"')
    (tmp_path / "kindless.json").write_text(KINDLESS)
    (tmp_path / "kept.json").write_text("before")
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_mistake(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake is one line on stderr, exit code 1, and leaves what was there."""
    arguments, line = CASES[name]
    if name.startswith("file, "):
        (folder / arguments[1]).write_bytes(FILES[name.removeprefix("file, ")][0])
    if arguments[0] == "solve" and "--out" not in arguments:
        arguments = [*arguments, "--out", "kept.json"]
    assert run(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert line in err
    assert err.count("\n") == 1
    assert "internal error" not in err
    assert (folder / "kept.json").read_text() == "before"


@pytest.mark.parametrize(
    "name", some_quick(["solve, wrong unit", "solve, unknown option", "file, broken", "unknown command"], 1)
)
def test_mistake_in_a_process(name: str, process: Cli, folder: Path) -> None:
    """The same in a process of its own; with --json stdout is one document that says it too."""
    arguments, line = CASES[name]
    if name.startswith("file, "):
        (folder / arguments[1]).write_bytes(FILES[name.removeprefix("file, ")][0])
    done = process(*arguments, "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    data = json.loads(done.stdout)
    assert data["status"] == "error"
    assert line in data["message"]
    assert done.stderr == f"error: {data['message']}\n"


def test_unforeseen_errors_are_one_line_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug asks to be reported; PLACEMENT_DEBUG shows where it is."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("placement.commands.schema.print_json", broken)
    monkeypatch.delenv("PLACEMENT_DEBUG", raising=False)
    assert run(["schema"]) == 1
    assert "internal error, please report it" in capsys.readouterr().err
    monkeypatch.setenv("PLACEMENT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run(["schema"])
