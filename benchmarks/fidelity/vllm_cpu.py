"""Simulated against vLLM itself on this machine's CPU: a tiny random Llama, eight loads, four engines.

    PLACEMENT_VLLM=vllm/bin/python python -m benchmarks.fidelity.vllm_cpu                 # about 10 minutes
    PLACEMENT_VLLM=vllm/bin/python python -m benchmarks.fidelity.vllm_cpu --seconds 2     # a try
    PLACEMENT_VLLM=vllm/bin/python python -m benchmarks.fidelity.vllm_cpu --repeats 2     # and vLLM against itself

Engines have cache blocks of 32 and 64 tokens (its attention on CPUs takes multiples of 32), chunked prefill on and off;
docs/runtimes.md says how to install vLLM for CPUs. Before and after each load, passes are measured: decode steps of 1
to 32 sequences, prompts of 64 to 240 tokens. They are all that the simulation knows of the machine; the load has the
same requests in both. Six loads are closed streams of 1 to 32 requests, the last of which outgrows the caches; two are
Poisson, at half and four fifths of what 16 requests in flight are served in the simulation. Prints each engine's table
and the shares within 10% in throughput and 15% in the median time per token, which the machine's own noise is part of:
leave it alone meanwhile. With `--repeats` each load is served so many times in a row; the means are compared, and the
last line says how near the first and the last one are to each other, which no simulation can surpass.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.question.requests import Requests
from placement.readers.cluster.read import read_request
from placement.simulate.serving import EngineOptions, HostCosts, Load, Serving, ServingRun, serve, serving_of

LAYERS, VOCABULARY = 8, 4096
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 512,
    "initializer_range": 0.02,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "num_attention_heads": 8,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "vocab_size": VOCABULARY,
}
CACHE_TOKENS, LONGEST, SEQUENCES = 2560, 256, 32
PROMPTS, OUTPUTS = (32, 160), (16, 64)  # tokens, uniform
SIZES, PROMPT_SIZES = (1, 2, 4, 8, 16, 32), (64, 128, 240)
CLOSED, OPEN, BASE = (1, 2, 4, 8, 16, 32), (0.5, 0.8), 16
THROUGHPUT, TIME_PER_TOKEN = 0.10, 0.15  # errors up to which a load counts as met
NO_HOST = HostCosts(0.0, 0.0, 0.0, 0.0)  # what is measured has the host inside


@dataclass(frozen=True, slots=True)
class Setting:
    """How an engine is set: tokens of a cache block, and whether prompts come in chunks."""

    block_size: int
    chunked: bool

    @property
    def kv_blocks(self) -> int:
        """Cache blocks; vLLM keeps one more for itself."""
        return CACHE_TOKENS // self.block_size

    def document(self) -> dict[str, Any]:
        """The engine's part of a message."""
        return {
            "do": "engine",
            "block_size": self.block_size,
            "chunked": self.chunked,
            "kv_blocks": self.kv_blocks + 1,
            "max_model_len": LONGEST,
            "max_num_batched_tokens": LONGEST,
            "max_num_seqs": SEQUENCES,
            "vocabulary": VOCABULARY,
        }

    def options(self) -> EngineOptions:
        """The same for a simulation."""
        return EngineOptions(
            max_num_seqs=SEQUENCES,
            max_num_batched_tokens=LONGEST,
            max_model_len=LONGEST,
            block_size=self.block_size,
            kv_blocks=self.kv_blocks,
            ahead=False,
            host=NO_HOST,
        )

    def policy(self) -> dict[str, Any]:
        """Settings of the policy `vllm`; without chunks its engine V1 runs whole prompts beside decode steps."""
        return {"chunked": self.chunked, "mixed": not self.chunked, "prefix_caching": False}


SETTINGS = tuple(Setting(size, chunked) for size in (32, 64) for chunked in (True, False))


@dataclass(frozen=True, slots=True)
class Measured:
    """What a load was served.

    Attributes
    ----------
    tokens_per_s : float
        Output tokens by time until the last request is done.
    time_per_token_s : float
        Median over requests.
    preemptions : int
    """

    tokens_per_s: float
    time_per_token_s: float
    preemptions: int

    @classmethod
    def of(cls, requests: Requests, first_s: Any, last_s: Any, preemptions: int) -> Measured:
        """From the seconds of first and last tokens."""
        first, last, out = np.array(first_s), np.array(last_s), requests.output_tokens
        return cls(float(out.sum() / last.max()), float(np.median((last - first) / (out - 1))), preemptions)

    @classmethod
    def mean(cls, seen: Sequence[Measured]) -> Measured:
        """Of several runs of a load: mean seconds; preemptions of the last one."""
        rate = len(seen) / sum(1.0 / one.tokens_per_s for one in seen)
        return cls(rate, sum(one.time_per_token_s for one in seen) / len(seen), seen[-1].preemptions)


@dataclass(frozen=True, slots=True)
class Gaps:
    """How far one is from another: relative errors, and whether both have preemptions or none."""

    tokens_per_s: float
    time_per_token_s: float
    same_preemptions: bool

    @classmethod
    def of(cls, said: Measured, seen: Measured) -> Gaps:
        """Of what is said from what was seen."""
        return cls(
            said.tokens_per_s / seen.tokens_per_s - 1.0,
            said.time_per_token_s / seen.time_per_token_s - 1.0,
            (said.preemptions > 0) == (seen.preemptions > 0),
        )


class Real:
    """vLLM in its own environment, spoken to line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        seen: list[str] = []
        for line in self.process.stdout:
            if line.startswith("RESULT "):
                found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
                return found
            seen.append(line)
        raise RuntimeError("vLLM ended: " + "".join(seen[-20:]))

    def passes(self, **asked: Any) -> float:
        """Median seconds of passes of a kind."""
        return float(np.median(self.ask({"do": "pass", **asked})["seconds"]))


@contextmanager
def vllm(python: str, folder: Path) -> Iterator[Real]:
    """A process of vLLM, which is gone afterwards."""
    threads = os.cpu_count() or 1
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
    }
    words = [python, str(Path(__file__).with_name("vllm_engine.py")), str(folder)]
    process = subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Real(process)
    finally:
        process.kill()
        process.wait()


def calibrated(real: Real, count: int = 20) -> dict[int, float]:
    """Seconds of passes by their tokens: decode steps, `count` of each size, then prompts."""
    mean = (PROMPTS[0] + PROMPTS[1]) // 2
    found = {}
    for size in SIZES:  # as many tokens as the caches hold of all
        context = min(mean, CACHE_TOKENS // size - count - 8)
        found[size] = real.passes(kind="decode", sequences=size, tokens=context, count=count)
    found |= {size: real.passes(kind="prompt", tokens=size, count=3) for size in PROMPT_SIZES}
    return found


def between(before: Mapping[int, float], after: Mapping[int, float]) -> dict[int, float]:
    """Means of two calibrations: a machine that others share drifts by tens of percent within minutes."""
    return {size: (before[size] + after[size]) / 2.0 for size in before}


def machine(seconds: Mapping[int, float], setting: Setting) -> Serving:
    """What the simulation knows: seconds of passes, and room for caches."""
    longest = max(seconds)
    node = {
        "name": "cpu",
        "memory": "4 GiB",
        "decode_table": {size: spent / LAYERS for size, spent in seconds.items()},
        "prefill_seconds_per_block": seconds[longest] / LAYERS,
    }
    block = {"name": "layer", "repeat": LAYERS, "weights": "16 MiB", "kv_per_token": "2 KiB"}
    document = {
        "model": {"name": "tiny", "blocks": [{**block, "activation_per_token": "2 KiB"}]},
        "nodes": [node],
        "workload": {"prompt_tokens": longest, "output_tokens": sum(OUTPUTS) // 2, "concurrency": SEQUENCES},
        "network": {"default": {"bandwidth": "100 GB/s", "latency": "1 us"}},
    }
    question = read_request(document)
    plan, _ = judge(None, document, [PlacedSpan("cpu", 0, LAYERS)])
    return serving_of(plan, question, setting.options())


def load_of(number: int, rate: float) -> Requests:
    """So many requests, at once or at a rate."""
    rng = np.random.default_rng(number)
    times = np.cumsum(rng.exponential(1.0 / rate, number)) if rate else np.zeros(number)
    prompts, outputs = (rng.integers(low, high + 1, number) for low, high in (PROMPTS, OUTPUTS))
    return Requests(times, prompts, outputs, name="a load")


def simulated(serving: Serving, setting: Setting, requests: Requests, concurrency: int) -> Measured:
    """What the simulation says of a load."""
    run: ServingRun = serve(
        serving,
        requests,
        settings=setting.policy(),
        options=setting.options(),
        load=Load(concurrency=concurrency),
    )
    return Measured.of(requests, run.ledger.first_s, run.ledger.finish_s, run.figures.preemptions)


def loads(serving: Serving, setting: Setting, seconds: float) -> Iterator[tuple[str, Requests, int]]:
    """Name, requests and concurrency of each load, each for about so many seconds."""
    base = 0.0
    for count in CLOSED:
        guess = simulated(serving, setting, load_of(4 * count + 8, 0.0), count).tokens_per_s
        per_s = guess / (sum(OUTPUTS) / 2)
        base = per_s if count == BASE else base
        yield f"{count} in flight", load_of(max(3 * count, round(per_s * seconds)), 0.0), count
    for share in OPEN:
        yield f"{share:.0%} of the rate of {BASE}", load_of(max(20, round(share * base * seconds)), share * base), 0


def compared(
    real: Real, setting: Setting, seconds: float, repeats: int
) -> Iterator[tuple[str, Measured, list[Measured]]]:
    """Each load with what the simulation says and what vLLM did, each time."""
    real.ask(setting.document())
    calibrated(real)  # the first passes are slow
    before = calibrated(real)
    for name, requests, concurrency in loads(machine(before, setting), setting, seconds):
        message = {
            "do": "serve",
            "prompt": requests.prompt_tokens.tolist(),
            "output": requests.output_tokens.tolist(),
            "arrival": requests.arrival_s.tolist(),
            "concurrency": concurrency,
        }
        answers = [real.ask(message) for _ in range(repeats)]
        after = calibrated(real)
        said = simulated(machine(between(before, after), setting), setting, requests, concurrency)
        before = after
        seen = [Measured.of(requests, one["first_s"], one["last_s"], one["preemptions"]) for one in answers]
        yield name, said, seen


def told(name: str, gaps: Sequence[Gaps]) -> str:
    """Shares of loads that are near enough, in a line."""
    rates, times = (np.abs([getattr(gap, key) for gap in gaps]) for key in ("tokens_per_s", "time_per_token_s"))
    same = np.mean([gap.same_preemptions for gap in gaps])
    return (
        f"{name}, {len(gaps)} loads: throughput within {THROUGHPUT:.0%} in {(rates <= THROUGHPUT).mean():.0%} "
        f"(median {np.median(rates):.1%}), p50 time per token within {TIME_PER_TOKEN:.0%} in "
        f"{(times <= TIME_PER_TOKEN).mean():.0%} (median {np.median(times):.1%}), preemptions in both or in none: "
        f"{same:.0%}"
    )


def main() -> None:
    """Serve, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load, about")
    parser.add_argument("--repeats", type=int, default=1, help="of each load")
    options = parser.parse_args()
    python = os.environ.get("PLACEMENT_VLLM", "")
    if not python:
        sys.exit("PLACEMENT_VLLM names no python with vLLM; docs/runtimes.md says how to install it")
    gaps: list[Gaps] = []
    against_itself: list[Gaps] = []
    with tempfile.TemporaryDirectory() as name:
        Path(name, "config.json").write_text(json.dumps(MODEL), encoding="utf-8")
        with vllm(python, Path(name)) as real:
            for setting in SETTINGS:
                print(f"\nblocks of {setting.block_size}, chunked prefill {'on' if setting.chunked else 'off'}\n")
                print("| load | tokens/s | simulated | | time per token, p50 | simulated | | preemptions | simulated |")
                print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
                for load, said, runs in compared(real, setting, options.seconds, options.repeats):
                    seen = Measured.mean(runs)
                    gaps.append(Gaps.of(said, seen))
                    against_itself.append(Gaps.of(runs[-1], runs[0]))
                    print(
                        f"| {load} | {seen.tokens_per_s:.0f} | {said.tokens_per_s:.0f} | {gaps[-1].tokens_per_s:+.1%} "
                        f"| {seen.time_per_token_s * 1e3:.1f} ms | {said.time_per_token_s * 1e3:.1f} ms "
                        f"| {gaps[-1].time_per_token_s:+.1%} | {seen.preemptions} | {said.preemptions} |",
                        flush=True,
                    )
    print("\n" + told("simulated", gaps))
    if options.repeats > 1:
        print(told("vLLM against itself", against_itself))


if __name__ == "__main__":
    main()
