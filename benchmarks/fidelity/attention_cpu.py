"""Attention on the CPU under llama.cpp: what its caches and its scores reach of what weights and products reach.

llama-bench runs Llamas of 8 layers in q8_0 with 1 to 8 query heads for a head of the cache, at three depths, with and
without fused attention. Seconds beyond those at depth 0 are the longer of two times: one per byte of cache and one per
operation. Both are told as shares of the rates of weights and of products on the same machine, as `cache_bandwidth`,
`attention_compute` and `step_attention_compute` of placement/catalog/runtimes.yaml are::

    PLACEMENT_LLAMA_CPP=build/bin python -m benchmarks.fidelity.attention_cpu
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from benchmarks.fidelity.llama_cpp_cpu import Q8_0_BYTES, Q8_0_WEIGHTS, llama_bench, write_random
from placement.costs.runtimes import runtime_costs

LAYERS, VOCABULARY, PROMPT = 8, 512, 64
# hidden, feed-forward, heads, KV heads
SHAPES = {
    "1 query head per cache head": (1024, 2816, 8, 8),
    "2": (1024, 2816, 8, 4),
    "4": (2048, 5632, 16, 4),
    "8": (2048, 5632, 16, 2),
    "4, heads of 64": (1024, 2816, 16, 4),
}
DEPTHS = (0, 2048, 4096)
COSTS = runtime_costs("llama.cpp")  # whose shares these stand beside


def bench(file: Path, fused: bool, threads: int) -> tuple[dict[int, float], dict[int, float]]:
    """Seconds of a decode step, and of a prompt, by depth."""
    words = ["-p", str(PROMPT), "-n", "16", "-d", ",".join(map(str, DEPTHS)), "-fa", str(int(fused)), "-r", "2"]
    rows = llama_bench(file, threads, *words)
    steps = {row["n_depth"]: 1.0 / row["avg_ts"] for row in rows if row["n_gen"]}
    prompts = {row["n_depth"]: PROMPT / row["avg_ts"] for row in rows if row["n_prompt"]}
    return steps, prompts


def weights_of(shape: tuple[int, int, int, int]) -> int:
    """Weights of all matrices, the embedding left out."""
    hidden, wide, heads, cached = shape
    return LAYERS * (2 * hidden * hidden + 2 * hidden * hidden * cached // heads + 3 * hidden * wide)


def fitted(rows: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Seconds per byte and per operation from (bytes, operations, seconds): the longer counts, errors are ratios."""
    n_bytes, flops, seconds = np.array(rows).T

    def error(logs: npt.NDArray[np.float64]) -> float:
        said = np.maximum(n_bytes * np.exp(logs[0]), flops * np.exp(logs[1]))
        return float(np.abs(np.log(said / seconds)).sum())

    start = np.log([np.median(seconds / n_bytes) / 2.0, np.median(seconds / flops) / 2.0])
    best = minimize(error, start, method="Nelder-Mead", options={"maxiter": 2000})
    return float(np.exp(best.x[0])), float(np.exp(best.x[1]))


def main() -> None:
    """Run, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if "PLACEMENT_LLAMA_CPP" not in os.environ:
        sys.exit("PLACEMENT_LLAMA_CPP names no folder with llama-bench; docs/runtimes.md says how to build it")
    with tempfile.TemporaryDirectory() as scratch:
        for fused in (False, True):
            told(Path(scratch), fused, options.threads)


def told(scratch: Path, fused: bool, threads: int) -> None:
    """One table and its fit."""
    print(f"\nfused attention {'on' if fused else 'off'}: ms of a step and of a prompt of {PROMPT} at depths {DEPTHS}")
    decode, prompt, weights, products = [], [], [], []
    for name, shape in SHAPES.items():
        hidden, wide, heads, cached = shape
        file = scratch / "model.gguf"
        write_random(file, hidden, wide, LAYERS, heads, cached, vocabulary=VOCABULARY)
        steps, prompts = bench(file, fused, threads)
        print(f"  {name}: {[f'{1e3 * s:.1f}' for s in (*steps.values(), *prompts.values())]}", flush=True)
        weights.append(weights_of(shape) * Q8_0_BYTES / Q8_0_WEIGHTS / steps[0])
        products.append(2.0 * weights_of(shape) * PROMPT / prompts[0])
        per_token = 2.0 * LAYERS * hidden * cached / heads  # values of the cache
        for depth in DEPTHS[1:]:
            decode.append((2.0 * per_token * depth, 4.0 * LAYERS * hidden * depth, steps[depth] - steps[0]))
            prompt.append((prompts[depth] - prompts[0]) / (4.0 * LAYERS * hidden * depth * PROMPT))
    weights_per_s, products_per_s = float(np.median(weights)), float(np.median(products))
    byte_s, flop_s = fitted(decode)
    prompt_s = float(np.median(prompt))
    print(f"  weights {weights_per_s / 1e9:.1f} GB/s, products {products_per_s / 1e9:.0f} GFLOP/s")
    print(f"  step: cache {1e-9 / byte_s:.1f} GB/s, scores {1e-9 / flop_s:.0f} GFLOP/s")
    print(f"  prompt: scores {1e-9 / prompt_s:.0f} GFLOP/s")
    read, multiplied = (COSTS.figure("cpu", key) or 1.0 for key in ("quantized_bandwidth", "quantized_compute"))
    cache = read / byte_s / weights_per_s
    step, whole = (multiplied / spent / products_per_s for spent in (flop_s, prompt_s))
    print(f"  cache_bandwidth {cache:.2f}, attention_compute {whole:.3f}, step_attention_compute {step:.3f}")


if __name__ == "__main__":
    main()
