"""Models with unlike blocks, written block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

Model = dict[str, Any]
KIB, MIB = 2.0**10, 2.0**20


def block(name: str, weights: float, kv: float = 0.0, **more: Any) -> dict[str, Any]:
    """One block: MiB of weights, KiB of cache per token."""
    entry: dict[str, Any] = {"name": name, "weights": f"{round(weights)} MiB"}
    if kv:
        entry["kv_per_token"] = f"{round(kv)} KiB"
    return {**entry, **more}


def uneven(rng: np.random.Generator, blocks: int, name: str, spread: float = 0.35) -> Model:
    """Embedding, layers of log-normal sizes, head."""
    sizes = 380 * np.exp(rng.normal(0, spread, blocks - 2))
    layers = [block(f"layer.{i}", size, rng.choice([2, 4, 8])) for i, size in enumerate(sizes)]
    first = block("embed", 500, activation_per_token="16 KiB")
    return {"name": name, "blocks": [first, *layers, block("head", 500)]}


def per_layer_heads(rng: np.random.Generator, blocks: int) -> Model:
    """Layers that keep 1 to 16 key-value heads of 128 numbers, as pruned and searched architectures do."""
    layers = [
        block(f"layer.{i}", 220 + 12 * int(heads), int(heads) / 2 + 0.5)
        for i, heads in enumerate(rng.choice([1, 2, 4, 8, 16], blocks - 2))
    ]
    first = block("embed", 400, activation_per_token="8 KiB")
    return {"name": "per-layer-heads", "blocks": [first, *layers, block("head", 400)]}


def vision_tower(rng: np.random.Generator, tower: int, layers: int) -> Model:
    """Small vision blocks with wide activations, a projector, then the decoder."""
    wide: dict[str, Any] = {"activation_per_token": "64 KiB", "flops_per_token": "0.2 GFLOP"}
    return {
        "name": "vision-first",
        "blocks": [
            block("patches", 8, kind="layer", **wide),
            {**block("vision", int(rng.integers(20, 40)), kind="vision", **wide), "repeat": tower},
            block("projector", 60, kind="layer", activation_per_token="8 KiB"),
            block("embed", 500, activation_per_token="8 KiB"),
            {**block("layer", int(rng.integers(300, 480)), 4), "repeat": layers},
            block("head", 500),
        ],
    }


def bytes_of(model: Model, tokens: int) -> np.ndarray:
    """Bytes of weights and of one sequence's cache of every block."""
    rows = []
    for entry in model["blocks"]:
        kv = float(str(entry.get("kv_per_token", "0 KiB")).split()[0]) * KIB
        size = float(str(entry["weights"]).split()[0]) * MIB + kv * tokens
        rows += [size] * entry.get("repeat", 1)
    return np.array(rows)


def workspace_mib(model: Model, work: dict[str, int]) -> int:
    """MiB that a node needs beside weights and caches, rounded up."""
    from placement.costs.memory import workspace_bytes
    from placement.costs.runtimes import costs_or_generic
    from placement.readers.cluster.read import read_request

    nodes = [{"name": "any", "device": "rtx-4090"}]
    request = read_request({"model": model, "workload": work, "nodes": nodes})
    return int(workspace_bytes(request.model, request.workload, costs_or_generic("")) / MIB) + 1
