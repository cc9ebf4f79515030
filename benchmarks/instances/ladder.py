"""The models that families take: the largest one that a cluster holds with some room."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

# (preset, quantization or None), ascending in bytes.
DENSE = (
    ("llama-3.2-1b", None),
    ("llama-3.2-3b", None),
    ("llama-3.1-8b", "q4_k_m"),
    ("llama-3.1-8b", None),
    ("llama-2-13b", None),
    ("gemma-2-27b", "int8"),
    ("llama-3.1-70b", "q4_k_m"),
    ("llama-3.1-70b", "int8"),
    ("llama-2-70b", None),
    ("llama-3.1-405b", "q4_k_m"),
    ("bloom-176b", None),
    ("llama-3.1-405b", None),
)
MOE = (
    ("gpt-oss-20b", None),
    ("mixtral-8x7b", "q4_k_m"),
    ("mixtral-8x7b", None),
    ("mixtral-8x22b", "q4_k_m"),
    ("deepseek-v2", "q4_k_m"),
    ("deepseek-v2", None),
    ("deepseek-v3", "q4_k_m"),
)


@lru_cache(maxsize=64)
def bytes_per_sequence(preset: str, quantization: str | None, tokens: int) -> float:
    """Bytes of weights, and of the caches of one sequence."""
    from placement.readers.models.read import read_model

    model = read_model(preset, weights=quantization or "bfloat16")
    return float(sum(block.weight_bytes + block.kv_bytes(tokens) for block in model.blocks))


def capacity(document: Mapping[str, Any]) -> float:
    """Bytes that the nodes of a document hold, by a small model in place of its own."""
    from placement.readers.cluster.read import read_request

    request = read_request({**document, "model": "smollm2-135m"})
    return float(np.sum([node.memory_bytes - node.reserve_bytes for node in request.cluster.nodes]))


def with_model(document: dict[str, Any], room: float, ladder: tuple[tuple[str, str | None], ...] = DENSE) -> None:
    """Name the largest model of the ladder of which the nodes hold `room` times the bytes."""
    work = document["workload"]
    tokens = work["prompt_tokens"] + work["output_tokens"]
    total = capacity(document)
    fitting = [step for step in ladder if room * bytes_per_sequence(*step, tokens) <= total]
    preset, quantization = fitting[-1] if fitting else ladder[0]
    document["model"] = preset
    if quantization:
        document["quantization"] = quantization
