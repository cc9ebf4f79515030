"""Number formats on the CPU under llama.cpp: which of them have tiles of products for prompts.

llama-bench runs one random Llama of 0.3 billion weights in several formats, turn by turn, and the best of all turns
counts: `format_compute` of placement/catalog/runtimes.yaml is a format's rate of prompts over that of q8_0::

    PLACEMENT_LLAMA_CPP=build/bin python -m benchmarks.fidelity.formats_cpu
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.fidelity.llama_cpp_cpu import SHAPES, llama_bench, write_random

FORMATS = ("Q8_0", "Q4_0", "Q4_1", "Q5_1", "Q4_K", "Q6_K")
VOCABULARY = 8192


def main() -> None:
    """Run all formats and print their rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), help="in ggml's words; the first is the measure")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    best: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        files = {name: Path(scratch, f"{name}.gguf") for name in options.formats}
        for name, file in files.items():
            write_random(file, *SHAPES["0.3b"], vocabulary=VOCABULARY, weights=name)
        for _ in range(options.turns):
            for name, file in files.items():
                for row in llama_bench(file, options.threads, "-p", "64", "-n", "8", "-r", "3", "-ngl", "0"):
                    key = name, "prompt" if row["n_prompt"] else "generation"
                    best[key] = max(best.get(key, 0.0), *row["samples_ts"])
    sys.stdout.write(
        "| format | prompt, tokens/s | of the first | generation, tokens/s |\n| --- | ---: | ---: | ---: |\n"
    )
    for name in options.formats:
        prompt, steps = best[name, "prompt"], best[name, "generation"]
        share = prompt / best[options.formats[0], "prompt"]
        sys.stdout.write(f"| {name.lower()} | {prompt:.1f} | {share:.2f} | {steps:.1f} |\n")


if __name__ == "__main__":
    main()
