"""One process for long: ``python -m benchmarks.robustness.lasting --calls 1000``.

`optimize` is called over and over on questions of every kind. After the first calls, which compile and import, memory
stays within 5%; descriptors and threads stay as they are; a plan is the same at the end as at the beginning, also in a
process that was forked from this one.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from placement import optimize
from placement.readers.fleet import fleet_of
from placement.readers.swarm import swarm_of
from placement.search.stop import max_evaluations

from .samples import CLUSTER, FLEET, REPLICATED, SWARM

WARM = 60  # calls before anything is measured
MOST_GROWTH = 0.05
# What ends by a proof, or by its number of evaluations: time decides nothing, so plans can be compared.
EVALUATIONS = 2000


def questions() -> list[tuple[Any, dict[str, Any]]]:
    """Questions of every kind, with the options of `optimize`."""
    counted: dict[str, Any] = {"time_limit": 30.0, "stop": max_evaluations(EVALUATIONS)}
    return [
        (CLUSTER, {**counted, "objective": "latency"}),
        (CLUSTER, {**counted, "objective": "throughput", "solver": "annealing"}),
        (CLUSTER, {**counted, "objective": "latency", "solver": "genetic"}),
        (REPLICATED, {**counted, "objective": "flow", "solver": "annealing"}),
        (fleet_of(FLEET), {**counted, "objective": "rate", "solver": "annealing"}),
        (swarm_of(SWARM), {**counted, "objective": "latency"}),
    ]


def answer(number: int) -> str:
    """The layout that a call finds, as text."""
    asked = questions()
    question, options = asked[number % len(asked)]
    plan = optimize(None, question, seed=number % len(asked), **options).plan
    return json.dumps([(span.node, span.start, span.stop) for span in plan.placement])


def resident() -> int:
    """Bytes of memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forked(number: int) -> str:
    """The layout that a forked process finds."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(write, answer(number).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        found = file.read()
    os.waitpid(pid, 0)
    return found


def main(calls: Annotated[int, typer.Option("--calls", min=1)] = 1000) -> None:
    """Call `optimize` so often; exit code 1 when something grew or changed."""
    first = [answer(number) for number in range(len(questions()))]
    for number in range(WARM):
        answer(number)
    memory, descriptors, threads = resident(), len(os.listdir("/proc/self/fd")), threading.active_count()
    changed = sum(answer(number) != first[number % len(first)] for number in range(calls))
    growth = resident() / memory - 1.0
    more = len(os.listdir("/proc/self/fd")) - descriptors, threading.active_count() - threads
    strayed = sum(forked(number) != text for number, text in enumerate(first))
    typer.echo(f"{calls} calls: memory {memory / 1e6:.0f} MB, {growth:+.1%} since; descriptors and threads {more}")
    typer.echo(f"{changed} plans changed, {strayed} of {len(first)} differ in a forked process")
    sys.exit(growth > MOST_GROWTH or any(value > 0 for value in more) or changed > 0 or strayed > 0)


if __name__ == "__main__":
    typer.run(main)
