"""Ctrl-C at any moment: ``python -m benchmarks.robustness.interrupts --times 200``.

Each time a command (a search, or a run of a tiny model on three processes, in turn) is started and gets SIGINT after a
random part of the time that it takes alone. It must leave with 130 (or with 0, where it had ended before), say no
traceback, leave no half-written file, and no process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from placement.errors import InputError, nearest
from tests.run.tiny_models import plan_by_hand, save_model

from .running import MARK, ROOT, gone, marked, python_path, send

EXAMPLE = ROOT / "examples" / "geo.yaml"
STARTED = "import sys; sys.argv[0] = 'placement'; from placement.__main__ import main; print('up', flush=True); main()"
LONGEST_S = 60.0
COMMANDS = ("solve", "run")


def main(
    times: Annotated[int, typer.Option("--times", min=1, help="In all, the commands in turn.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    only: Annotated[str, typer.Option("--only", metavar="A,B", help=f"Of {', '.join(COMMANDS)}.")] = "",
) -> None:
    """Interrupt commands over and over; exit code 1 when one of them ended otherwise than it should."""
    names = only.split(",") if only else list(COMMANDS)
    for name in names:
        if name not in COMMANDS:
            raise InputError(f"unknown command '{name}'{nearest(name, COMMANDS)}", "--only")
    rng = np.random.default_rng(seed)
    endings: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "work"
        folder.mkdir()
        words = {name: words_of(name, Path(scratch)) for name in names}
        whole_s = {}
        for name in names:
            ending, whole_s[name] = one(folder, words[name], None)
            if ending != "0":
                sys.exit(f"left alone, {name} ended with {ending}")
        for number in range(times):
            name = names[number % len(names)]
            delay_s = float(rng.uniform(0.0, whole_s[name]))
            ending = one(folder, words[name], delay_s)[0]
            endings[name, ending] += 1
            if ending not in ("130", "0") or number % 20 == 19:
                typer.echo(f"{number} {name}: {ending}", err=True)
    for (name, ending), count in sorted(endings.items()):
        typer.echo(f"{count:4d} {name}: {ending}")
    sys.exit(any(ending not in ("130", "0") for _, ending in endings))


def words_of(name: str, scratch: Path) -> list[str]:
    """The words of a command; what it needs lies in `scratch`, what it writes where it runs."""
    if name == "solve":
        return ["solve", str(EXAMPLE), "--time-limit", "1", "--quiet", "--json", "--out", "out.json"]
    model, plan = save_model("llama", scratch / "model"), scratch / "plan.json"
    plan_by_hand(("a", 0, 2), ("b", 2, 4), ("c", 4, 6)).save(plan)
    asked = ["--ids", "1,2,3", "--tokens", "40", "--slow", "a=20"]
    return ["run", str(plan), "--model", str(model), *asked, "--json", "--out", "out.json"]


def one(folder: Path, words: list[str], delay_s: float | None) -> tuple[str, float]:
    """One command, interrupted `delay_s` after its interpreter stands, or not at all; how it ended, and its seconds."""
    out, mark = folder / "out.json", f"{os.getpid()}-{time.monotonic_ns()}"
    out.unlink(missing_ok=True)
    program = subprocess.Popen(
        [sys.executable, "-c", STARTED, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {MARK: mark, "PYTHONPATH": python_path()},
    )
    assert program.stdout is not None
    program.stdout.readline()
    began = time.monotonic()
    if delay_s is not None:
        time.sleep(delay_s)
        program.send_signal(signal.SIGINT)
    try:
        _, errors = program.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        for pid in [program.pid, *marked(mark)]:
            send(pid, signal.SIGKILL)
        return f"hangs for {LONGEST_S:g} s after {delay_s} s", LONGEST_S
    seconds = time.monotonic() - began
    if "Traceback" in errors:
        return f"a traceback after {delay_s:.2f} s: {errors.strip().splitlines()[-1]}", seconds
    if out.exists():
        json.loads(out.read_text(encoding="utf-8"))
    left = [path.name for path in folder.iterdir() if path != out]
    if left:
        return f"leaves {left}", seconds
    if not gone(marked(mark)):
        return "leaves processes", seconds
    said = "" if program.returncode in (0, 130) else f": {errors.strip()[-200:]}"
    return f"{program.returncode}{said}", seconds


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        sys.exit(f"error: {error}")
