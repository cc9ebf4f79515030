"""Small invented clusters for the tests of replicated placements, in the format of Helix's cases."""

from __future__ import annotations

from typing import Any

import numpy as np


def make_case(seed: int, nodes: int = 8, blocks: int = 12, regions: int = 1, types: int = 3) -> dict[str, Any]:
    """A cluster with measured-like rates: falling with the number of blocks, now and then with a bump."""
    rng = np.random.default_rng(seed)
    kinds = {}
    for t in range(types):
        most = int(rng.integers(2, min(8, blocks) + 1))
        decode = float(rng.uniform(1.0, 8.0))
        # 400 prompt and 100 output tokens at a batch of 100, by the times below.
        speed = 500e3 / (6.0 * decode + 100 * 2.5 * decode / 100)
        rates = speed / np.arange(1, most + 1) ** rng.uniform(1.0, 1.2) * rng.uniform(0.9, 1.15, most)
        kinds[f"T{t}"] = {
            "max_layers": most,
            "throughput": rates.tolist(),
            "kv_cache_tokens_x_layers": [float(4e5 - 3e4 * k) for k in range(most)],
            "nic_in": 1e8,
            "nic_out": 1e8,
            "prompt_ms_per_layer": [[0, 0], [250, 4 * decode], [500, 7 * decode], [1000, 13 * decode]],
            "decode_ms_per_layer": [[0, 0], [2, decode], [20, 1.2 * decode], [100, 2.5 * decode]],
        }
    region = rng.integers(0, regions, nodes)
    near = (region[:, None] == region[None, :]) & ~np.eye(nodes, dtype=bool)
    far = ~near & ~np.eye(nodes, dtype=bool)
    band = near * 1e9 + far * rng.integers(5_000_000, 15_000_000, (nodes, nodes))
    return {
        "name": f"case{seed}",
        "model": {"num_layers": blocks, "token_bytes": 2, "activation_bytes": 13312, "layer_bytes": 1e9},
        "node_types": kinds,
        "nodes": [
            {
                "id": i,
                "type": f"T{rng.integers(types)}",
                "region": int(region[i]),
                "availability": 0.9,
                "price_per_hour": float(rng.uniform(0.2, 2.0)),
            }
            for i in range(nodes)
        ],
        "links": {
            "bandwidth": band.tolist(),
            "latency": (near * 0.001 + far * 0.05).tolist(),
            "source_bandwidth": rng.uniform(1e3, 1e7, nodes).tolist(),
            "source_latency": 0.01,
            "sink_bandwidth": rng.uniform(1e3, 1e7, nodes).tolist(),
            "sink_latency": 0.02,
        },
        "coordinator": {"nic_in": 1e8, "nic_out": 1e8},
        "workload": {"mean_prompt_tokens": 400, "mean_output_tokens": 100},
    }


def random_spans(tables: Any, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Start and stop per node: aligned stages, some spans moved off them, some nodes idle."""
    n, blocks = tables.n_nodes, tables.n_blocks
    stages = int(rng.integers(2, max(3, min(n, blocks))))
    cuts = [0, *sorted(rng.choice(np.arange(1, blocks), stages - 1, replace=False).tolist()), blocks]
    spans = []
    for i in range(n):
        s = int(rng.integers(stages))
        start, stop = cuts[s], cuts[s + 1]
        if rng.random() < 0.2:
            start = max(0, start - int(rng.integers(0, 3)))
        if rng.random() < 0.2:
            stop = min(blocks, stop + int(rng.integers(0, 3)))
        stop = min(stop, start + int(tables.most_blocks[i]))
        spans.append((0, 0) if rng.random() < 0.1 else (start, stop))
    return spans
