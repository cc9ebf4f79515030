"""Swarms: many machines of volunteers in a few places, every block held by several of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .families import GAMING, REGIONS

DEVICES = (*GAMING, "a100-40gb-pcie", "v100-32gb", "t4")


def swarm(rng: np.random.Generator, count: int) -> dict[str, Any]:
    """Volunteers' cards in three regions, replicated placement, throughput."""
    nodes = []
    for region, part in zip(REGIONS[:3], np.diff([0, count // 2, count * 4 // 5, count]).tolist(), strict=True):
        kinds = rng.choice(DEVICES, min(4, part), replace=False).tolist()
        numbers = 1 + rng.multinomial(part - len(kinds), np.ones(len(kinds)) / len(kinds))
        nodes += [
            {"name": f"{region}-{name}", "device": name, "count": int(number), "region": region}
            for name, number in zip(kinds, numbers, strict=True)
        ]
    return {
        "model": "llama-3.1-8b" if count < 20 else "llama-3.1-70b",
        "quantization": "nf4",
        "placement": "replicated",
        "workload": {"prompt_tokens": 512, "output_tokens": 128, "concurrency": 4 * count},
        "objective": "throughput",
        "nodes": nodes,
        "network": {
            "within": {region: {"link": "ethernet-1g"} for region in REGIONS[:3]},
            "between": [
                {"regions": [REGIONS[0], REGIONS[1]], "bandwidth": "200 Mbit/s", "latency": "33 ms"},
                {"regions": [REGIONS[0], REGIONS[2]], "bandwidth": "200 Mbit/s", "latency": "38 ms"},
                {"regions": [REGIONS[1], REGIONS[2]], "bandwidth": "100 Mbit/s", "latency": "62 ms"},
            ],
        },
    }
