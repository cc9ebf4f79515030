"""Ctrl-C: exit code 130, and the best plan so far is shown and written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from placement.cli import was_interrupted
from placement.plan.plan import Plan
from tests.sampled import some_quick

from .conftest import environment, python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")

# A front is never proven, so only time or Ctrl-C ends this search.
ENDLESS = ["--solver", "annealing", "--objective", "latency,price"]
# A stopping criterion that presses Ctrl-C once the search is under way: no guess at how long anything takes.
PRESS = """
import os, signal, sys
import placement.search.loop
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have told its background jobs to ignore it
placement.search.loop.never = lambda progress: (
    os.kill(os.getpid(), signal.SIGINT) if progress.evaluations > 1000 else None
)
from placement.cli import main
main()
"""


def test_interrupted_search_gives_its_best_plan(tiny: Path, tmp_path: Path) -> None:
    """The plan on stdout and the one in the file say 'interrupted'."""
    arguments = ["solve", str(tiny), *ENDLESS, "--time-limit", "200", "--json", "--out", "plan.json"]
    done = python(PRESS, *arguments, cwd=tmp_path)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    data = json.loads(done.stdout)
    assert data["status"] == data["stopped_by"] == "interrupted"
    plan = Plan.load(tmp_path / "plan.json")
    assert plan.status == "interrupted"
    assert plan.placement[-1].stop == 8


def pressed_at_best(command: list[str], folder: Path) -> tuple[int, str, bytes]:
    """Run at a terminal and press Ctrl-C once it shows a best value; return exit code, stdout and the terminal."""
    import pty

    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "placement", *command],
        cwd=folder,
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=end,
        text=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    os.close(end)
    seen = b""
    while b"best " not in seen:
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # the process has ended
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    os.close(terminal)
    return process.returncode, out, seen


@pytest.mark.slow
def test_ctrl_c_at_a_terminal(tiny: Path, tmp_path: Path) -> None:
    """A progress bar with the best value is on a terminal's stderr; Ctrl-C then ends the search with a plan."""
    command = ["solve", str(tiny), *ENDLESS, "--time-limit", "200", "--out", "plan.json"]
    code, out, seen = pressed_at_best(command, tmp_path)
    assert code == 130, (out, seen)
    assert "interrupted: best so far" in out
    assert Plan.load(tmp_path / "plan.json").status == "interrupted"


@pytest.mark.parametrize("objective", some_quick(["rate", "response"], 1))
@pytest.mark.slow
def test_ctrl_c_on_a_fleet(objective: str, tmp_path: Path) -> None:
    """Fleets whose sessions reserve caches: the best so far, written and shown."""
    servers = [{"id": f"s{k}", "memory_gb": 10 + k, "tau_c_s": 0.3, "tau_p_s": 0.1} for k in range(5)]
    fleet = {"num_blocks": 12, "block_gb": 1.0, "cache_gb_per_block_job": 0.1, "lambda_per_s": 0.05}
    (tmp_path / "fleet.json").write_text(json.dumps({**fleet, "servers": servers}))
    command = ["solve", "fleet.json", "--objective", objective, "--time-limit", "200", "--out", "plan.json"]
    code, out, seen = pressed_at_best(command, tmp_path)
    assert code == 130, (out, seen)
    assert "sessions/s" in out
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["status"] == "interrupted"
    assert plan["chains"][0]["stops"][-1] == 12


def test_interrupts_that_a_library_has_turned_into_another_error() -> None:
    """Python 3.11 makes a RuntimeError of what `__set_name__` raises, and imports of libraries make ImportErrors."""
    from placement.cli import was_interrupted

    def chained() -> Exception:
        try:
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as first:
                raise RuntimeError("error calling __set_name__") from first
        except RuntimeError as error:
            return error

    assert was_interrupted(chained())
    assert not was_interrupted(RuntimeError("something else"))


@pytest.mark.parametrize("moment", ["placement.cli", "typer", "numpy", "placement.search.loop"])
def test_ctrl_c_during_an_import(moment: str, tiny: Path) -> None:
    """Whatever is being imported when Ctrl-C comes: one line, exit code 130, no traceback."""
    press = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
from placement.__main__ import main
main()
"""
    done = python(press, "solve", tiny, cwd=tiny.parent)
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("interrupted")
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_behind_an_error_is_found_and_a_ring_of_causes_ends() -> None:
    """Whatever the import of a library made of it; an error that is its own cause is looked at once."""
    inner, outer = KeyboardInterrupt(), ImportError()
    outer.__cause__ = inner
    assert was_interrupted(outer)
    alone = ValueError()
    alone.__cause__ = alone
    assert not was_interrupted(alone)
