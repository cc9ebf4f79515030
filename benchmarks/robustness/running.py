"""Runs to be struck: a tiny model with random weights on three emulated hosts, and how a run with a fault ended."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from placement.errors import PlacementError
from placement.kinds.pipeline.replan import replan_at_once
from placement.plan.plan import Plan
from placement.question.cluster import Cluster
from placement.run import Launch, run_plan
from placement.run.namespaces import Network
from tests.run.tiny_models import plan_by_hand, save_model, small_cluster, some_prompts

NODES = ("a", "b", "c")
TOKENS = 40
LIMIT_S = 1.5  # without a sign of life a worker is lost
MOST_S = 300.0  # of one run: kernels may have to be compiled for the next plan
GONE_S = 10.0  # in which processes of a launcher that was killed must be gone
MOST_LINE = 1000
MARK = "PLACEMENT_FAULTS_MARK"  # environment variable of the processes that a launcher of ours begins
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs have: a checkpoint, a plan, prompts, and the text of an undisturbed run."""

    folder: Path
    plan: Plan
    prompts: list[list[int]]
    text: tuple[tuple[int, ...], ...]


Strike = Callable[[Mapping[str, int]], None]


def struck(
    bench: Bench,
    *,
    start: Strike | None = None,
    after: int = 0,
    strike: Strike | None = None,
    network: Network | None = None,
    counted: bool = True,
) -> str:
    """Run with a fault and say how it ended.

    Parameters
    ----------
    bench : Bench
    start : callable, optional
        Called with the process ids by place as soon as all are started: they are loading then.
    after : int
        Tokens that must have come before `strike`.
    strike : callable, optional
        Called with the process ids by place.
    network : Network, optional
        Namespaces that the workers run in; without, all are on loopback and links are delayed by the transport.
    counted : bool
        Whether descriptors must be as many as before; not where the fault itself holds some.

    Returns
    -------
    str
        "equal text", "one line", or what is wrong.
    """
    pids: dict[str, int] = {}
    due = [strike] if strike is not None else []

    def started(found: Mapping[str, int]) -> None:
        pids.update(found)
        if start is not None:
            start(pids)

    def progress(tokens: int) -> None:
        if tokens >= after and due:
            due.pop()(pids)

    before = descriptors()
    try:
        result = run_plan(
            bench.plan,
            bench.folder,
            bench.prompts,
            TOKENS,
            cluster=hosts(),
            emulate_links=network is None,
            replan=replan_at_once,
            limit_s=LIMIT_S,
            launch=Launch(started=started, progress=progress, timeout_s=MOST_S, network=network),
        )
        ending = "equal text" if tuple(map(tuple, result.tokens)) == bench.text else "ANOTHER TEXT"
    except PlacementError as error:
        ending = line_of(str(error))
    left = [place for place, pid in pids.items() if not gone([pid])]
    if left:
        return f"LEFT RUNNING: {', '.join(left)}"
    return ending if not counted or descriptors() <= before else f"DESCRIPTORS LEFT OPEN: {descriptors() - before}"


def hosts() -> Cluster:
    """Three nodes, far enough apart that a run takes a while."""
    return small_cluster(len(NODES), latency_s=0.02)


def line_of(message: str) -> str:
    """Whether an error is one clear line."""
    clear = message.isprintable() and 0 < len(message) <= MOST_LINE and "time-out" not in message
    return "one line" if clear else f"NO CLEAR LINE: {message[:200]!r}"


def python_path() -> str:
    """The environment variable for a process that imports what this one can, the sources first."""
    return os.pathsep.join(filter(None, (str(ROOT), *sys.path[1:])))


def descriptors() -> int:
    """Open descriptors of this process, without those to the warm process that stays for the next run."""
    return len(os.listdir("/proc/self/fd"))


def gone(pids: list[int]) -> bool:
    """Whether processes end within `GONE_S`."""
    until = time.monotonic() + GONE_S
    while any(runs(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def send(pid: int, number: int) -> None:
    """Send a signal to a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def later(seconds: float, what: Callable[[], object]) -> None:
    """Do something after some seconds, whatever the run does meanwhile."""
    timer = threading.Timer(seconds, what)
    timer.daemon = True
    timer.start()


def marked(mark: str) -> list[int]:
    """Processes whose environment has the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def make_bench(scratch: Path) -> Bench:
    """A tiny model, and what it says undisturbed."""
    folder = save_model("llama", scratch / "model")
    plan, prompts = plan_by_hand(("a", 0, 2), ("b", 2, 4), ("c", 4, 6)), some_prompts(2)
    text = tuple(map(tuple, run_plan(plan, folder, prompts, TOKENS).tokens))
    return Bench(folder, plan, prompts, text)
