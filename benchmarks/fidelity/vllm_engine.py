"""Runs in vLLM's own environment: one engine after the other, each asked to run passes or to serve loads, line by line.

Usage: python vllm_engine.py FOLDER; every line of stdin is a JSON object with ``do``, every answer a line of stdout
that begins with RESULT. ``engine`` starts an engine; ``pass`` times passes of one kind; ``serve`` serves requests.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

import numpy as np

SETTLED = 3  # passes that are not counted


class Host:
    """One engine in this process, stepped by hand."""

    def __init__(self, folder: str, asked: dict[str, Any]) -> None:
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        arguments = EngineArgs(
            model=folder,
            skip_tokenizer_init=True,
            load_format="dummy",
            dtype="float32",
            enforce_eager=True,
            seed=0,
            disable_log_stats=True,
            async_scheduling=False,
            enable_prefix_caching=False,
            max_model_len=asked["max_model_len"],
            max_num_seqs=asked["max_num_seqs"],
            max_num_batched_tokens=asked["max_num_batched_tokens"],
            block_size=asked["block_size"],
            enable_chunked_prefill=asked["chunked"],
            num_gpu_blocks_override=asked["kv_blocks"],
        )
        self.engine = LLMEngine.from_engine_args(arguments)
        self.vocabulary = asked["vocabulary"]
        self.rng = np.random.default_rng(0)
        self.number = self.preempted = 0
        self._count_preemptions()

    def _count_preemptions(self) -> None:
        scheduler = self.engine.engine_core.engine_core.scheduler
        plain = scheduler._preempt_request

        def counted(*given: Any, **more: Any) -> Any:
            self.preempted += 1
            return plain(*given, **more)

        scheduler._preempt_request = counted

    def add(self, prompt: int, output: int) -> str:
        """A request of random tokens that makes exactly so many."""
        from vllm import SamplingParams

        self.number += 1
        tokens = self.rng.integers(3, self.vocabulary, prompt).tolist()
        sampling = SamplingParams(temperature=0.0, max_tokens=output, ignore_eos=True, detokenize=False)
        name = str(self.number)
        self.engine.add_request(name, {"prompt_token_ids": tokens}, sampling)
        return name

    def passes(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Seconds of each pass: prompts alone, or decode steps of so many sequences."""
        seconds: list[float] = []
        if asked["kind"] == "prompt":
            for _ in range(asked["count"] + 1):
                self.add(asked["tokens"], 1)
                while self.engine.has_unfinished_requests():
                    begun = time.perf_counter()
                    self.engine.step()
                    seconds.append(time.perf_counter() - begun)
            return {"seconds": seconds[1:]}
        for _ in range(asked["sequences"]):
            self.add(asked["tokens"], asked["count"] + SETTLED)
        while self.engine.has_unfinished_requests():
            begun = time.perf_counter()
            made = self.engine.step()
            if len(made) == asked["sequences"]:
                seconds.append(time.perf_counter() - begun)
        return {"seconds": seconds[SETTLED:-1] or seconds}

    def serve(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Serve requests at their times, or so many at once; seconds from the start by request."""
        prompt, output, arrival = asked["prompt"], asked["output"], asked["arrival"]
        first, last, waiting = [0.0] * len(prompt), [0.0] * len(prompt), 0
        of: dict[str, int] = {}
        self.preempted = 0
        start = time.perf_counter()
        while waiting < len(prompt) or of:
            now = time.perf_counter() - start
            closed = asked["concurrency"]
            while waiting < len(prompt) and (len(of) < closed if closed else arrival[waiting] <= now):
                of[self.add(prompt[waiting], output[waiting])] = waiting
                waiting += 1
            if not of:
                time.sleep(max(0.0, arrival[waiting] - now))
                continue
            for made in self.engine.step():
                request, now = of[made.request_id], time.perf_counter() - start
                if made.outputs[0].token_ids and not first[request]:
                    first[request] = now
                if made.finished:
                    last[request] = now
                    del of[made.request_id]
        return {"first_s": first, "last_s": last, "preemptions": self.preempted}

    def close(self) -> None:
        """Give the engine's memory back."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self.engine.engine_core.shutdown()
        del self.engine
        cleanup_dist_env_and_memory()
        gc.collect()


def main() -> None:
    """Answer line by line."""
    host: Host | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        found: dict[str, Any] = {}
        if asked["do"] == "engine":
            if host is not None:
                host.close()
            host = Host(sys.argv[1], asked)
        elif host is not None:
            found = host.passes(asked) if asked["do"] == "pass" else host.serve(asked)
        sys.stdout.write("\nRESULT " + json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
