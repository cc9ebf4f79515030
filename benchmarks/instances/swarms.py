"""Swarms: many machines of volunteers in a few places, every block held by several of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .families import BETWEEN, GAMING, REGIONS, machines, workload
from .ladder import with_model

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


def replicas(rng: np.random.Generator, size: str) -> dict[str, Any]:
    """Cloud cards that hold some two copies of a model between them; raw capacity (flow) over one to three regions."""
    count, regions = {"small": (8, 1), "medium": (24, 2), "large": (60, 3)}[size]
    nodes: list[dict[str, Any]] = []
    for region in REGIONS[:regions]:
        nodes += machines(rng, ("a100-40gb-sxm", "l4", "t4", "a10g", "v100-32gb", "a30"), 2, count // regions, region)
    document: dict[str, Any] = {
        "placement": "replicated",
        "workload": workload(rng, (4 * count,)),
        "objective": "flow",
        "nodes": nodes,
        "network": {
            "within": {region: {"link": "ethernet-25g"} for region in REGIONS[:regions]},
            "between": [
                {"regions": [REGIONS[a], REGIONS[b]], "link": link} for a, b, link in BETWEEN if max(a, b) < regions
            ],
        },
    }
    with_model(document, float(rng.uniform(1.6, 2.6)))
    return document
