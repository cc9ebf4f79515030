"""Small machines whose seconds can be computed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from placement.optimize import judge
from placement.plan.plan import PlacedSpan, Plan
from placement.question.request import Request
from placement.question.requests import Requests
from placement.readers.cluster.read import read_request
from placement.simulate.serving import EngineOptions, HostCosts

FREE_HOST = HostCosts(0.0, 0.0, 0.0, 0.0)
DECODE_S, PROMPT_S = 0.002, 0.05  # per block: of a step of one sequence, of a prompt of 100 tokens


def measured(
    nodes: int = 1, *, latency: str = "1 ms", bandwidth: str = "1 GB/s", memory: str = "1 GiB", **more: Any
) -> dict[str, Any]:
    """A cluster of measured nodes with two blocks each, whose caches take 64 KiB a token and block."""
    blocks = {
        "name": "layer",
        "repeat": 2 * nodes,
        "weights": "100 MiB",
        "kv_per_token": "64 KiB",
        "activation_per_token": "1 KiB",
    }
    seconds = {"decode_seconds_per_block": DECODE_S, "prefill_seconds_per_block": PROMPT_S}
    return {
        "model": {"name": "small", "blocks": [blocks]},
        "nodes": [{"name": f"n{k}", "memory": memory, **seconds} for k in range(nodes)],
        "workload": {"prompt_tokens": 100, "output_tokens": 10},
        "network": {"default": {"bandwidth": bandwidth, "latency": latency}},
        **more,
    }


def gpu(model: str = "llama-2-7b", device: str = "a100-80gb-sxm", nodes: int = 1, **more: Any) -> dict[str, Any]:
    """A cluster of catalog GPUs."""
    return {"model": model, "nodes": [{"name": "n", "device": device, "count": nodes}], **more}


def planned(cluster: Mapping[str, Any]) -> tuple[Plan, Request]:
    """The plan that gives every node as many blocks, and its question."""
    question = read_request(cluster)
    names, blocks = question.cluster.names, question.model.n_blocks
    cuts = np.linspace(0, blocks, len(names) + 1).astype(int).tolist()
    spans = [PlacedSpan(name, cuts[k], cuts[k + 1]) for k, name in enumerate(names)]
    plan, broken = judge(None, cluster, spans)
    assert not broken
    return plan, question


def requests(*rows: tuple[float, int, int]) -> Requests:
    """Requests from arrival in s, prompt and output tokens."""
    times, prompts, outputs = zip(*rows, strict=True)
    return Requests(np.array(times, dtype=float), np.array(prompts), np.array(outputs))


def random_requests(seed: int, number: int, *, longest: int = 60, rate: float = 20.0) -> Requests:
    """Poisson arrivals, uniform lengths."""
    rng = np.random.default_rng(seed)
    return Requests(
        np.cumsum(rng.exponential(1.0 / rate, number)),
        rng.integers(1, longest + 1, number),
        rng.integers(1, longest + 1, number),
    )


def options(**more: Any) -> EngineOptions:
    """Options of an engine whose host costs nothing."""
    return EngineOptions(host=FREE_HOST, **more)
