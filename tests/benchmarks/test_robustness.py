"""The fuzzer: inputs follow from seed and number, verdicts see what is wrong, and failing inputs are shortened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.robustness.__main__ import DOORS, table
from benchmarks.robustness.attack import Tally, input_of, tried
from benchmarks.robustness.doors import Door, documents, doors, prepare
from benchmarks.robustness.faults import FAULTS
from benchmarks.robustness.guard import Answer, verdict
from benchmarks.robustness.running import MARK, ROOT, gone, line_of, make_bench, marked, runs
from benchmarks.robustness.samples import CLUSTER, RUN, RUNTIME_NAMES, SPLITS
from benchmarks.robustness.shrink import shortest
from placement.export import RUNTIMES, make_runtime

GOOD = Answer(0, '{"objective": {"value": 1.0}}', "", 0.1, 0)
BAD = {
    "hang": Answer(None, "", "", 10.0, 0),
    "internal error": Answer(1, "{}", "error: internal error, please report it", 0.1, 0),
    "exit code -11": Answer(-11, "{}", "", 0.1, 0),
    "memory": Answer(0, "{}", "", 0.1, 2 * 10**9),
    "control characters": Answer(1, "{}", "error: x.yaml: \x1b[31m", 0.1, 0),
    "a message too long": Answer(1, "{}", "error: x.yaml: " + "a" * 2000, 0.1, 0),
    "no message": Answer(1, "{}", "", 0.1, 0),
    "no file named": Answer(1, "{}", "error: nodes: expected a list", 0.1, 0),
    "no JSON": Answer(0, "{", "", 0.1, 0),
    "NaN is no number": Answer(0, '{"a": NaN}', "", 0.1, 0),
    "no value": Answer(0, '{"objective": {"value": null}}', "", 0.1, 0),
}


@pytest.mark.parametrize("wrong", BAD)
def test_verdicts(wrong: str) -> None:
    """Every kind of failure is told from a good answer."""
    assert verdict(BAD[wrong], file="x.yaml") == wrong
    assert verdict(GOOD, file="x.yaml") == ""


def test_every_door_has_inputs_that_follow_from_the_seed() -> None:
    """The same number gives the same bytes, another seed others; no door of the command line is missing."""
    table_of_doors = doors({"pipeline": CLUSTER})
    assert tuple(table_of_doors) == DOORS
    for name, door in table_of_doors.items():
        inputs = [input_of(door, name, number, 3) for number in range(20)]
        assert inputs == [input_of(door, name, number, 3) for number in range(20)]
        assert inputs != [input_of(door, name, number, 4) for number in range(20)]


def test_every_runtime_that_reads_splits_is_attacked() -> None:
    """The samples of splits are of all runtimes."""
    assert set(RUNTIME_NAMES) == set(SPLITS) == {name for name in RUNTIMES if make_runtime(name).holds.layers}


def test_what_fails_is_shortened() -> None:
    """The two bytes that matter are left."""
    assert shortest(b"x" * 50 + b"a" + b"y" * 30 + b"b", lambda raw: b"a" in raw and b"b" in raw) == b"ab"


def test_a_few_inputs_of_a_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken cluster files are answered or refused; a refusal that names another file is found out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.jsonl").write_text(json.dumps(RUN))
    line = ("calibrate", "FILE", "runs.jsonl", "--json")
    door = Door((line,), documents(CLUSTER))
    rng = np.random.default_rng(0)
    for _ in range(10):
        wrong, code, _, _ = tried(door, line, door.make(rng, line))
        assert wrong == ""
        assert code in (0, 1)
    assert tried(Door((line,), documents(CLUSTER), "x.yaml"), ("calibrate", "none.yaml", "runs.jsonl"), b"")[0] != ""


@pytest.mark.slow
def test_samples_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents that are broken are good ones before."""
    monkeypatch.chdir(tmp_path)
    assert set(prepare(Path())) == {"cluster", "replicated", "fleet", "swarm", "helix"}


def test_the_table_has_a_row_for_each_door() -> None:
    """Failures are named with their numbers."""
    tally = Tally(inputs=3)
    tally.codes.update([0, 1, 1])
    tally.wrong.update(["hang"])
    assert "| plan | 3 | 1 | 2 | 0 | 0 | 0.0 s | 1 hang |" in table({"plan": tally})


def test_endings_of_faults_are_told_apart() -> None:
    """One line is clear when it is printable, short, and no time-out; a process that has ended is gone."""
    assert line_of("'b' is lost (no sign of life for 1.6 s)") == "one line"
    for message in ("", "two\nlines", "x" * 2000, "the run takes longer than its time-out"):
        assert line_of(message).startswith("NO CLEAR LINE")
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=os.environ | {MARK: "x1"})
    assert runs(program.pid)
    assert marked("x1") == [program.pid]
    program.communicate()
    assert gone([program.pid])
    assert not runs(program.pid)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["two", "recovery", "client", "disk", "memory", "launcher"])
def test_a_fault_of_a_run_ends_well(fault: str, tmp_path: Path) -> None:
    """The text of the undisturbed run, or one line; nothing is left running."""
    pytest.importorskip("torch")
    ending = FAULTS[fault](make_bench(tmp_path), np.random.default_rng(1))
    assert ending in ("equal text", "one line", "nothing left")


@pytest.mark.slow
def test_one_process_for_long() -> None:
    """Memory stays within 5%, descriptors and threads as they are, plans the same, in a forked process too."""
    command = [sys.executable, "-m", "benchmarks.robustness.lasting", "--calls", "120"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
