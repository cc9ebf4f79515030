"""Small cases on which planners of today fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..rivals.deepspeed import best_bottleneck, bottleneck, partition_balanced
from .models import block

Document = dict[str, Any]


def four_gpus(rng: np.random.Generator) -> Document:
    """80, 40, 24 and 24 GiB for Llama-2-70B in 16 bits: accelerate's balanced map leaves 9 layers to the CPU."""
    return {
        "model": "llama-2-70b",
        "dtype": "float16",
        "workload": {"prompt_tokens": 512, "output_tokens": 128, "concurrency": 1},
        "objective": "latency",
        "nodes": [
            {"name": f"gpu-{i}", "device": device, "reserve": "256 MiB"}
            for i, device in enumerate(["a100-80gb-pcie", "a100-40gb-pcie", "rtx-3090", "rtx-3090"])
        ],
        "network": {"default": {"link": "pcie-4-x16"}},
    }


def three_nodes(rng: np.random.Generator) -> Document:
    """5.9, 5.9 and 9.05 GiB for 19 blocks of 1 GiB: splitting by memory share (exo) refuses; 5, 5, 9 fits."""
    layers = [{"name": "layer", "repeat": 19, "weights": "1 GiB", "activation_per_token": "8 KiB"}]
    return {
        "model": {"name": "nineteen", "blocks": layers},
        "workload": {"prompt_tokens": 1, "output_tokens": 2, "concurrency": 1},
        "objective": "latency",
        "nodes": [
            {"name": name, "device": "m2-16gb", "memory": memory, "reserve": "0 B"}
            for name, memory in (("a", "5.9 GiB"), ("b", "5.9 GiB"), ("c", "9.05 GiB"))
        ],
        "network": {"default": {"link": "thunderbolt-4"}},
    }


def unequal_chain(rng: np.random.Generator) -> Document:
    """Equal nodes and blocks of unlike cost, where DeepSpeed's balanced partition misses the best bottleneck."""
    while True:
        parts = int(rng.integers(3, 6))
        weights = rng.integers(1, 16, int(rng.integers(8, 17))).tolist()
        if bottleneck(weights, partition_balanced(weights, parts)) > 1.04 * best_bottleneck(weights, parts):
            break
    seconds = [weight / 1000 for weight in weights]
    blocks = [block(f"layer.{i}", 100 * w, activation_per_token="8 KiB") for i, w in enumerate(weights)]
    return {
        "model": {"name": "unequal-chain", "blocks": blocks},
        "workload": {"prompt_tokens": 128, "output_tokens": 128, "concurrency": parts},
        "objective": "bottleneck",
        "nodes": [
            {
                "name": f"gpu-{i}",
                "memory": "24 GiB",
                "decode_seconds_per_block": seconds,
                "prefill_seconds_per_block": seconds,
            }
            for i in range(parts)
        ],
        "network": {"default": {"link": "nvlink-3"}},
    }


CLASSICS: dict[str, Callable[[np.random.Generator], Document]] = {
    "four-gpus": four_gpus,
    "three-nodes": three_nodes,
    "unequal-chain": unequal_chain,
}
