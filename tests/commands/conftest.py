"""The command line in this process and in one of its own, and small cluster files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import placement.cli

ROOT = Path(__file__).parents[2]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]

# Four blocks that two of the three nodes can hold; the optimum is found and proven in no time.
TINY = """
model:
  name: tiny
  blocks:
    - {name: embed, weights: 100 MiB, activation_per_token: 8 KiB}
    - {name: layer, repeat: 6, weights: 400 MiB, kv_per_token: 4 KiB, activation_per_token: 8 KiB}
    - {name: head, weights: 100 MiB}
workload: {prompt_tokens: 64, output_tokens: 32, concurrency: 2}
objective: latency
nodes:
  - {name: a, memory: 2 GiB, decode_seconds_per_block: 0.010, prefill_seconds_per_block: 0.05}
  - {name: b, memory: 2 GiB, decode_seconds_per_block: 0.015, prefill_seconds_per_block: 0.08, price: 1 $/h}
  - {name: c, memory: 1 GiB, decode_seconds_per_block: 0.030, prefill_seconds_per_block: 0.20}
network: {within: {default: {bandwidth: 1 Gbit/s, latency: 1 ms}}}
"""


def environment(**changes: str) -> dict[str, str]:
    """The environment of a user whose terminal has 80 columns and no colours."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "80", "NO_COLOR": "1", **changes}


def python(script: str, *arguments: object, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a script with arguments in a process of its own, in the environment of a user."""
    return completed([sys.executable, "-c", script, *map(str, arguments)], cwd, **changes)


def completed(command: list[str], cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with nothing on its standard input."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run `placement` with the given arguments in an empty folder, within this process: no start, no imports."""

    def run(*arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
        words, out, err = [str(argument) for argument in arguments], io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(tmp_path)
            for name, value in environment(**changes).items():
                patch.setenv(name, value)
            code = placement.cli.run(words)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def process(tmp_path: Path) -> Cli:
    """Run `placement` with the given arguments in an empty folder, in a process of its own as users do."""

    def run(*arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
        return completed([sys.executable, "-m", "placement", *map(str, arguments)], tmp_path, **changes)

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A cluster file that is solved in no time."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path
