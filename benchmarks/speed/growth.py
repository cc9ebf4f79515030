"""Import time, time to the first plan, and peak memory by size: ``python -m benchmarks.speed.growth [--most 5]``.

Every line is a process of its own. The last line gives the exponents: twice N and L multiply by 2^exponent.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from .problems import SIZES

ROOT = Path(__file__).parents[2]
WORK = """
import resource, time
began = time.perf_counter()
from benchmarks.speed.problems import problem
made = problem({nodes}, {blocks})
built = time.perf_counter()
starts = made.starts()
first = time.perf_counter()
print(built - began, first - built, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def python(code: str) -> tuple[str, float]:
    """Run code in a new process; return what it prints, and its seconds."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout, time.perf_counter() - began


def exponent(sizes: np.ndarray, values: np.ndarray) -> float:
    """Slope of log values over log sizes."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=len(SIZES), help="how many sizes, from the smallest")
    most = parser.parse_args().most
    empty = min(python("pass")[1] for _ in range(3))
    loaded = min(python("import placement")[1] for _ in range(3))
    print(f"import placement: {1000 * (loaded - empty):.0f} ms over an empty process\n")
    print("| nodes | blocks | tables s | first plan s | peak MiB |\n| ---: | ---: | ---: | ---: | ---: |")
    rows = []
    for nodes, blocks in SIZES[:most]:
        built, first, peak = map(float, python(WORK.format(nodes=nodes, blocks=blocks))[0].split())
        rows.append((np.sqrt(nodes * blocks), built, first, peak))
        print(f"| {nodes} | {blocks} | {built:.2f} | {first:.2f} | {peak:.0f} |", flush=True)
    if len(rows) > 1:
        size, built, first, peak = np.array(rows).T
        base = peak[0] * 0.98
        print(
            f"\nexponents over sqrt(N L): tables {exponent(size, built):.1f}, first plan {exponent(size, first):.1f}, "
            f"memory beyond the smallest {exponent(size[1:], peak[1:] - base):.1f}"
        )


if __name__ == "__main__":
    main()
