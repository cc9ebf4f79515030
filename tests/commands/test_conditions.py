"""Faults of planning: closed streams, narrow terminals, plain locales, no room, no rights, no home, an end by force."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import environment

pytestmark = pytest.mark.skipif(os.name != "posix", reason="streams, rights and signals of POSIX")
TABLES = "tables tiny.yaml"
SOLVE = "solve tiny.yaml --time-limit 0.2"


@dataclass(frozen=True)
class Condition:
    """A command line of a shell, what it runs in, and its right end."""

    line: str
    environment: dict[str, str]
    code: int = 0
    said: str = ""  # a part of stderr; without it, stderr is empty


PYTHON = f"{sys.executable} -m placement"
PLAIN = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CONDITIONS = {
    "stdin closed": Condition(f"{SOLVE} --quiet <&-", {}),
    "stdin closed, and asked for": Condition("new - <&-", {}, 1, "error: standard input: is closed"),
    "stdin closed, nobody to ask": Condition("new cards.txt --out new.yaml <&-", {}, 0, "written: new.yaml"),
    "stdin of a binary": Condition(f"new - <{sys.executable}", {}, 1, "error: standard input: expected"),
    "stdout closed": Condition(f"{TABLES} >&-", {}, 1, "error: standard output: is closed"),
    "stderr closed": Condition(f"{SOLVE} --set nodes=[] 2>&-", {}, 1),
    "all closed": Condition(f"{SOLVE} --quiet --out plan.json <&- >&- 2>&-", {}),
    "a reader that leaves": Condition(f"{TABLES} | true", {}),
    "the C locale": Condition(SOLVE, PLAIN),
    "the C locale, a mistake": Condition(f"{SOLVE} --model größer", PLAIN, 1, "gr\\udcc3"),
    "40 columns": Condition(SOLVE, {"COLUMNS": "40"}),
    "no home": Condition(TABLES, {"HOME": "", "XDG_CACHE_HOME": ""}),
    "a home that is a file": Condition(TABLES, {"HOME": "tiny.yaml", "PLACEMENT_CACHE_DIR": "", "XDG_CACHE_HOME": ""}),
    "no room in a file": Condition(
        f"ulimit -f 1; {PYTHON} {SOLVE} --quiet --out plan.json", {}, 1, "error: plan.json: "
    ),
    "a full device": Condition(f"{SOLVE} --quiet --out /dev/full", {}, 1, "error: /dev/full: "),
}


def shell(line: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh whose first word is a command of placement, or that says itself what it runs."""
    command = line if PYTHON in line else f"{PYTHON} {line}"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=240,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONS)
def test_the_right_end_under_every_condition(name: str, tiny: Path) -> None:
    """The exit code, one line or none, no trace, and nothing half-written."""
    condition = CONDITIONS[name]
    (tiny.parent / "cards.txt").write_text("GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-0)\n")
    done = shell(condition.line, tiny.parent, **condition.environment)
    assert done.returncode == condition.code, done.stderr
    assert condition.said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.stderr.count("\n") == bool(condition.said), done.stderr
    assert not list(tiny.parent.glob(".placement-*"))
    if "--out plan.json" in condition.line:
        assert (tiny.parent / "plan.json").exists() == (condition.code == 0)
    if condition.environment.get("COLUMNS"):
        assert max(map(len, done.stdout.splitlines())) <= int(condition.environment["COLUMNS"])
    if condition.environment.get("LC_ALL") == "C":
        assert done.stdout.isascii()


@pytest.mark.parametrize("moment", ["os.fsync", "os.replace"])
def test_an_end_by_force_leaves_the_file_as_it_was(moment: str, tmp_path: Path) -> None:
    """SIGKILL while a plan is being written: whoever reads it finds the one before."""
    out = tmp_path / "plan.json"
    out.write_text("before")
    module, name = moment.split(".")
    script = f"""
import os, signal
import {module}
from placement.files import write_atomic
{module}.{name} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_atomic({str(out)!r}, "x" * 100_000)
"""
    done = subprocess.run([sys.executable, "-c", script], env=environment(), timeout=240, check=False)
    assert done.returncode == -signal.SIGKILL
    assert out.read_text() == "before"


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB with 4 KiB left."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root mounts file systems")
    command = [mount, "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file systems are mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=False)


@pytest.mark.slow
def test_a_full_disk(full_disk: Path, tiny: Path) -> None:
    """One line with the file, the one before stays, and nothing beside it."""
    (full_disk / "plan.json").write_text("before")
    (full_disk / "filler").write_bytes(b"x" * 11_000)
    done = shell(f"tables tiny.yaml --out {full_disk}/plan.json", tiny.parent)
    assert done.returncode == 1
    assert done.stderr == f"error: {full_disk}/plan.json: cannot be written: No space left on device\n"
    assert (full_disk / "plan.json").read_text() == "before"
    assert sorted(path.name for path in full_disk.iterdir()) == ["filler", "plan.json"]
