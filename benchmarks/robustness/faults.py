"""Faults of a run: ``python -m benchmarks.robustness.faults --times 100 --seed 0``.

A tiny model with random weights runs on three emulated hosts. Each time one fault strikes at a random moment; the text
must be that of the undisturbed run, or the run must end with one clear line. Afterwards no process of the run is left,
and the launcher has as many open descriptors as before.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from placement.errors import InputError, PlacementError, nearest
from placement.kinds.pipeline.replan import replan_at_once
from placement.plan.plan import Plan
from placement.run import Launch, run_plan
from tests.run.tiny_models import plan_by_hand, save_model, small_cluster, some_prompts

NODES = ("a", "b", "c")
TOKENS = 40
LIMIT_S = 1.5  # without a sign of life a worker is lost
MOST_S = 120.0  # of one run
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


Fault = Callable[[Bench, np.random.Generator], str]
Strike = Callable[[Mapping[str, int]], None]


def struck(bench: Bench, *, start: Strike | None = None, after: int = 0, strike: Strike | None = None) -> str:
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
            cluster=small_cluster(len(NODES), latency_s=0.02),
            emulate_links=True,
            replan=replan_at_once,
            limit_s=LIMIT_S,
            launch=Launch(started=started, progress=progress, timeout_s=MOST_S),
        )
        ending = "equal text" if tuple(map(tuple, result.tokens)) == bench.text else "ANOTHER TEXT"
    except PlacementError as error:
        ending = line_of(str(error))
    left = [place for place, pid in pids.items() if not gone([pid])]
    if left:
        return f"LEFT RUNNING: {', '.join(left)}"
    return ending if descriptors() <= before else f"DESCRIPTORS LEFT OPEN: {descriptors() - before}"


def line_of(message: str) -> str:
    """Whether an error is one clear line."""
    clear = message.isprintable() and 0 < len(message) <= MOST_LINE and "time-out" not in message
    return "one line" if clear else f"NO CLEAR LINE: {message[:200]!r}"


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


def later(seconds: float, pid: int, number: int) -> None:
    """Send a signal after some seconds."""
    timer = threading.Timer(seconds, send, (pid, number))
    timer.daemon = True
    timer.start()


def _one(bench: Bench, rng: np.random.Generator, number: int) -> str:
    who = str(rng.choice(NODES))
    return struck(bench, after=int(rng.integers(1, TOKENS)), strike=lambda pids: send(pids[who], number))


def kill(bench: Bench, rng: np.random.Generator) -> str:
    """SIGKILL of a worker."""
    return _one(bench, rng, signal.SIGKILL)


def stop(bench: Bench, rng: np.random.Generator) -> str:
    """SIGSTOP of a worker."""
    return _one(bench, rng, signal.SIGSTOP)


def two(bench: Bench, rng: np.random.Generator) -> str:
    """Two workers at once, one killed, the other killed or stopped."""
    first, second = (str(name) for name in rng.choice(NODES, 2, replace=False))
    other = signal.SIGKILL if rng.random() < 0.5 else signal.SIGSTOP

    def strike(pids: Mapping[str, int]) -> None:
        send(pids[first], signal.SIGKILL)
        send(pids[second], other)

    return struck(bench, after=int(rng.integers(1, TOKENS)), strike=strike)


def recovery(bench: Bench, rng: np.random.Generator) -> str:
    """A second worker is lost while the first is being replaced."""
    first, second = (str(name) for name in rng.choice(NODES, 2, replace=False))
    wait = float(rng.uniform(0.0, 2.0 * LIMIT_S))

    def strike(pids: Mapping[str, int]) -> None:
        send(pids[first], signal.SIGKILL)
        later(wait, pids[second], signal.SIGKILL)

    return struck(bench, after=int(rng.integers(1, TOKENS // 2)), strike=strike)


def loading(bench: Bench, rng: np.random.Generator) -> str:
    """A worker is lost while it loads."""
    who, wait = str(rng.choice(NODES)), float(rng.uniform(0.0, 1.0))
    return struck(bench, start=lambda pids: later(wait, pids[who], signal.SIGKILL))


def client(bench: Bench, rng: np.random.Generator) -> str:
    """The client, which holds the run's store."""
    after = int(rng.integers(1, TOKENS))
    return struck(bench, after=after, strike=lambda pids: send(pids["client"], signal.SIGKILL))


def disk(bench: Bench, rng: np.random.Generator) -> str:
    """A shard ends early, as after a disk error."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(bench.folder, Path(scratch) / "broken")
        shards = sorted(folder.glob("*.safetensors"))
        shard = shards[int(rng.integers(len(shards)))]
        shard.write_bytes(shard.read_bytes()[: int(rng.integers(shard.stat().st_size))])
        ending = struck(Bench(folder, bench.plan, bench.prompts, bench.text))
    return ending if ending != "equal text" else "NOT NOTICED"


def memory(bench: Bench, rng: np.random.Generator) -> str:
    """No more memory for a worker: what it asks for from now on is refused."""
    who = str(rng.choice(NODES))

    def strike(pids: Mapping[str, int]) -> None:
        with contextlib.suppress(ProcessLookupError):
            size = int(Path(f"/proc/{pids[who]}/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
            resource.prlimit(pids[who], resource.RLIMIT_AS, (size, size))

    if rng.random() < 0.5:
        return struck(bench, start=strike)
    return struck(bench, after=int(rng.integers(1, TOKENS)), strike=strike)


def launcher(bench: Bench, rng: np.random.Generator) -> str:
    """SIGKILL or SIGTERM of the command itself: none of its processes is left."""
    mark = f"{os.getpid()}-{rng.integers(2**40)}"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "plan.json"
        bench.plan.save(file)
        ids = ",".join(map(str, bench.prompts[0]))
        words = ["run", str(file), "--model", str(bench.folder), "--ids", ids, "--tokens", "2000", "--json"]
        words += ["--slow", "a=50"]
        program = subprocess.Popen(
            [sys.executable, "-m", "placement", *words],
            env=os.environ | {MARK: mark, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=scratch,
        )
        time.sleep(float(rng.uniform(1.0, 12.0)))
        early = program.poll() is not None
        send(program.pid, signal.SIGKILL if rng.random() < 0.7 else signal.SIGTERM)
        program.wait(GONE_S)
        left = marked(mark)
        if gone(left):
            return "ended before it was struck" if early else "nothing left"
    names = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:80] for pid in marked(mark)]
    for pid in marked(mark):
        send(pid, signal.SIGKILL)
    return f"ORPHANS: {names}"


def marked(mark: str) -> list[int]:
    """Processes whose environment has the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault for fault in (kill, stop, two, recovery, loading, client, disk, memory, launcher)
}


def make_bench(scratch: Path) -> Bench:
    """A tiny model, and what it says undisturbed."""
    folder = save_model("llama", scratch / "model")
    plan, prompts = plan_by_hand(("a", 0, 2), ("b", 2, 4), ("c", 4, 6)), some_prompts(2)
    text = tuple(map(tuple, run_plan(plan, folder, prompts, TOKENS).tokens))
    return Bench(folder, plan, prompts, text)


def main(
    times: Annotated[int, typer.Option("--times", min=1, help="Faults in all, in turn of every kind.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    only: Annotated[str, typer.Option("--only", metavar="A,B", help=f"Of {', '.join(FAULTS)}.")] = "",
    out: Annotated[Path | None, typer.Option("--out", metavar="FAULTS.JSONL", help="A line for each.")] = None,
) -> None:
    """Strike runs over and over; exit code 1 when one ended otherwise than it should."""
    names = only.split(",") if only else list(FAULTS)
    for name in names:
        if name not in FAULTS:
            raise InputError(f"unknown fault '{name}'{nearest(name, FAULTS)} (known: {', '.join(FAULTS)})", "--only")
    endings: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        bench = make_bench(Path(scratch))
        for number in range(times):
            name, began = names[number % len(names)], time.monotonic()
            ending = FAULTS[name](bench, np.random.default_rng([seed, number]))
            endings[name, ending] += 1
            row: dict[str, Any] = {"number": number, "fault": name, "ending": ending}
            row["seconds"] = round(time.monotonic() - began, 1)
            typer.echo(json.dumps(row), err=True)
            if out is not None:
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    for (name, ending), count in sorted(endings.items()):
        typer.echo(f"{count:4d} {name}: {ending}")
    sys.exit(any(ending[:2].isupper() for _, ending in endings))


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        sys.exit(f"error: {error}")
