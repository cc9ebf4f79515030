"""Problems of any size, made of numbers: N nodes of eight kinds, L blocks of three."""

from __future__ import annotations

from typing import Any

import numpy as np

from objectives.combine import Objective
from placement.kinds.pipeline.problem import PipelineProblem

SIZES = ((8, 40), (32, 80), (128, 160), (400, 320), (1000, 500))


def problem(nodes: int, blocks: int, objective: str = "latency", concurrency: int = 16) -> PipelineProblem:
    """A pipeline problem through the same door as a user's file."""
    from placement.kinds.pipeline.problem import problem_of
    from placement.readers.cluster.read import read_request

    rng = np.random.default_rng([nodes, blocks])
    layers = [
        {
            "name": f"l{i}",
            "weights": f"{400 + 50 * (i % 3)} MiB",
            "kv_per_token": "4 KiB",
            "activation_per_token": "16 KiB",
        }
        for i in range(blocks)
    ]
    kinds = 8
    entries: list[dict[str, Any]] = [
        {
            "name": f"kind-{k}",
            "count": nodes // kinds,
            "memory": f"{max(1.2, 2.0 * blocks * 0.45 / nodes) * rng.uniform(0.7, 1.4):.2f} GiB",
            "decode_seconds_per_block": float(rng.uniform(0.0005, 0.003)),
            "prefill_seconds_per_block": float(rng.uniform(0.002, 0.02)),
        }
        for k in range(kinds)
    ]
    document = {
        "model": {"name": "made", "blocks": layers},
        "workload": {"prompt_tokens": 512, "output_tokens": 128, "concurrency": concurrency},
        "objective": objective,
        "nodes": entries,
        "network": {"default": {"bandwidth": "10 Gbit/s", "latency": "0.2 ms"}},
    }
    built = problem_of(read_request(document))
    assert isinstance(built.objective, Objective)
    return built
