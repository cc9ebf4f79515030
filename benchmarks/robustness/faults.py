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
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from placement.errors import InputError, nearest
from placement.run.namespaces import available, network

from .lasting import resident
from .running import (
    GONE_S,
    LIMIT_S,
    MARK,
    NODES,
    TOKENS,
    Bench,
    gone,
    hosts,
    later,
    make_bench,
    marked,
    python_path,
    send,
    struck,
)

Fault = Callable[[Bench, np.random.Generator], str]
WARM = 20  # faults after which memory of the launcher is looked at
MOST_GROWTH = 0.05


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
        later(wait, partial(send, pids[second], signal.SIGKILL))

    return struck(bench, after=int(rng.integers(1, TOKENS // 2)), strike=strike)


def loading(bench: Bench, rng: np.random.Generator) -> str:
    """A worker is lost while it loads."""
    who, wait = str(rng.choice(NODES)), float(rng.uniform(0.0, 1.0))
    return struck(bench, start=lambda pids: later(wait, partial(send, pids[who], signal.SIGKILL)))


def client(bench: Bench, rng: np.random.Generator) -> str:
    """The client, which holds the run's store."""
    after = int(rng.integers(1, TOKENS))
    return struck(bench, after=after, strike=lambda pids: send(pids["client"], signal.SIGKILL))


def pause(bench: Bench, rng: np.random.Generator) -> str:
    """A worker stands still for less than the limit, and goes on."""
    who, wait = str(rng.choice(NODES)), float(rng.uniform(0.1, 0.5)) * LIMIT_S

    def strike(pids: Mapping[str, int]) -> None:
        send(pids[who], signal.SIGSTOP)
        later(wait, partial(send, pids[who], signal.SIGCONT))

    return struck(bench, after=int(rng.integers(1, TOKENS)), strike=strike)


def link(bench: Bench, rng: np.random.Generator) -> str:
    """The link of a host, or of the client, is cut and restored, sooner or later than a worker counts as lost."""
    who, wait = str(rng.choice([*NODES, "client"])), float(rng.uniform(0.1, 2.0)) * LIMIT_S
    with network(hosts()) as net:

        def turned(state: str) -> None:
            line = ["ip", "-n", net.namespaces[who], "link", "set", "eth0", state]
            subprocess.run(line, capture_output=True, check=False)

        def strike(pids: Mapping[str, int]) -> None:
            turned("down")
            later(wait, partial(turned, "up"))

        return struck(bench, after=int(rng.integers(1, TOKENS)), strike=strike, network=net)


@contextlib.contextmanager
def copied(bench: Bench, rng: np.random.Generator) -> Iterator[tuple[Bench, Path]]:
    """The bench with a checkpoint of its own, and one shard of it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(bench.folder, Path(scratch) / "broken")
        shards = sorted(folder.glob("*.safetensors"))
        yield Bench(folder, bench.plan, bench.prompts, bench.text), shards[int(rng.integers(len(shards)))]


def disk(bench: Bench, rng: np.random.Generator) -> str:
    """A shard ends early, as after a disk error."""
    with copied(bench, rng) as (broken, shard):
        shard.write_bytes(shard.read_bytes()[: int(rng.integers(shard.stat().st_size))])
        ending = struck(broken)
    return ending if ending != "equal text" else "NOT NOTICED"


def unreadable(bench: Bench, rng: np.random.Generator) -> str:
    """A shard is a folder, a link to itself, a pipe that nobody writes to, or empty."""
    with copied(bench, rng) as (broken, shard):
        shard.unlink()
        make: tuple[Callable[[], object], ...] = (
            shard.mkdir,
            partial(shard.symlink_to, shard),
            partial(os.mkfifo, shard),
            shard.touch,
        )
        make[int(rng.integers(len(make)))]()
        ending = struck(broken)
    return ending if ending != "equal text" else "NOT NOTICED"


def shrinking(bench: Bench, rng: np.random.Generator) -> str:
    """A shard shrinks while it is read; before that it is an error, after that it changes nothing."""
    with copied(bench, rng) as (broken, shard):
        return struck(broken, start=lambda _: later(float(rng.uniform(0.0, 1.0)), partial(os.truncate, shard, 100)))


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
            env=os.environ | {MARK: mark, "PYTHONPATH": python_path()},
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


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill,
        stop,
        two,
        recovery,
        pause,
        loading,
        client,
        link,
        disk,
        unreadable,
        shrinking,
        memory,
        launcher,
    )
}


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
    if "link" in names and not available():
        names.remove("link")
        typer.echo("no network namespaces here (they need root): the fault 'link' is left out", err=True)
    endings: Counter[tuple[str, str]] = Counter()
    before = 0
    with tempfile.TemporaryDirectory() as scratch:
        bench = make_bench(Path(scratch))
        for number in range(times):
            name, began = names[number % len(names)], time.monotonic()
            ending = FAULTS[name](bench, np.random.default_rng([seed, number]))
            endings[name, ending] += 1
            before = resident() if number == WARM else before
            row: dict[str, Any] = {"number": number, "fault": name, "ending": ending}
            row["seconds"] = round(time.monotonic() - began, 1)
            typer.echo(json.dumps(row), err=True)
            if out is not None:
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    for (name, ending), count in sorted(endings.items()):
        typer.echo(f"{count:4d} {name}: {ending}")
    growth = resident() / before - 1.0 if before else 0.0
    typer.echo(f"memory of the launcher: {growth:+.1%} since fault {WARM}")
    sys.exit(growth > MOST_GROWTH or any(ending[:2].isupper() for _, ending in endings))


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        sys.exit(f"error: {error}")
