"""The process that helps a first run to compile does not outlive it, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from placement.commands.warm import help_if_cold

from .conftest import environment

LEFT_ALONE = """
import os, signal
from placement.commands.warm import help_if_cold
with help_if_cold() as helper:
    print(helper.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_helper_is_gone_after_the_run(
    error: type[BaseException] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a good end, an early error and Ctrl-C it is ended and reaped: no process and no zombie is left."""
    monkeypatch.setenv("PLACEMENT_CACHE_DIR", str(tmp_path))
    raised: type[BaseException] | None = None
    try:
        with help_if_cold() as helper:
            assert helper is not None
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt) as caught:
        raised = type(caught)
    assert raised is error
    assert helper is not None
    assert helper.returncode in (0, -signal.SIGKILL)
    assert not Path(f"/proc/{helper.pid}").exists()


def test_where_kernels_were_compiled_nobody_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm start has no second process."""
    (tmp_path / "kernel.nbc").touch()
    monkeypatch.setattr("placement.commands.warm.cache_folder", lambda *_: tmp_path)
    with help_if_cold() as helper:
        assert helper is None


def test_the_helper_ends_with_a_killed_run(tmp_path: Path) -> None:
    """Nobody is left to end it after SIGKILL: it sees its input end."""
    command = [sys.executable, "-c", LEFT_ALONE]
    done = subprocess.run(
        command, env=environment(PLACEMENT_CACHE_DIR=str(tmp_path)), capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid, until = int(done.stdout), time.monotonic() + 300.0
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(pid)
    # It did not come to its end: the walk of annealing, which it compiles last, is not there.
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.startswith("loops.anneal")]


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
