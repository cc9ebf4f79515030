"""Ctrl-C at any moment: ``python -m benchmarks.robustness.interrupts --times 200``.

Each time a command is started and gets SIGINT after a random part of the time that it takes alone. It must leave with
130 (or with 0, where it had ended before), say no traceback, and leave no half-written file.
"""

from __future__ import annotations

import json
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

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "geo.yaml"
STARTED = "import sys; sys.argv[0] = 'placement'; from placement.__main__ import main; print('up', flush=True); main()"
LONGEST_S = 60.0


def main(
    times: Annotated[int, typer.Option("--times", min=1)] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Interrupt a search over and over; exit code 1 when one run ended otherwise than it should."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        whole_s = one(Path(scratch), None)[1]
        endings = Counter(one(Path(scratch), float(delay))[0] for delay in rng.uniform(0.0, whole_s, times))
    for ending, count in endings.most_common():
        typer.echo(f"{count:4d} {ending}")
    sys.exit(any(ending not in ("130", "0") for ending in endings))


def one(folder: Path, delay_s: float | None) -> tuple[str, float]:
    """One run, interrupted `delay_s` after its interpreter stands, or not at all; how it ended, and its seconds."""
    out = folder / "plan.json"
    out.unlink(missing_ok=True)
    words = ["solve", str(EXAMPLE), "--time-limit", "1", "--quiet", "--json", "--out", str(out)]
    program = subprocess.Popen(
        [sys.executable, "-c", STARTED, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
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
        program.kill()
        return f"hangs for {LONGEST_S:g} s after {delay_s:.2f} s", LONGEST_S
    seconds = time.monotonic() - began
    if "Traceback" in errors:
        return f"a traceback after {delay_s:.2f} s: {errors.strip().splitlines()[-1]}", seconds
    if out.exists():
        json.loads(out.read_text(encoding="utf-8"))
    left = [path.name for path in folder.iterdir() if path != out]
    return (f"leaves {left}" if left else str(program.returncode)), seconds


if __name__ == "__main__":
    typer.run(main)
