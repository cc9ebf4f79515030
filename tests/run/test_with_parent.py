"""A process ends with its parent, whatever it is doing: here it waits inside of a system call with signals blocked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import placement

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a parent's death is a signal on Linux")

CHILD = """
import os, signal, sys
from placement.run.with_parent import end_with
end_with(int(sys.argv[1]))
signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
print(os.getpid(), flush=True)
os.read(int(sys.argv[2]), 1)
"""
PARENT = f"""
import os, subprocess, sys
read, write = os.pipe()
subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(os.getpid()), str(read)], pass_fds=[read, write]).wait()
"""


def program(*words: str) -> subprocess.Popen[str]:
    """A Python program that knows this package."""
    env = os.environ | {"PYTHONPATH": str(Path(placement.__file__).parents[1])}
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True, env=env)


@pytest.mark.slow
def test_a_killed_parent_leaves_no_child() -> None:
    """The kernel ends the child, which nothing else could reach."""
    parent = program("-c", PARENT)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_parent_that_is_gone_already() -> None:
    """A child that begins late ends at once."""
    child = program("-c", CHILD, "1", "0") if os.getpid() != 1 else program("-c", CHILD, "0", "0")
    assert child.communicate()[0] == ""
    assert child.returncode == 1
