"""Machines that people have, and the model that each is asked to run."""

from __future__ import annotations

from typing import Any

CPU = {"name": "cpu", "host": "pc", "main_memory": True, "overhead": "15 us"}
DESKTOP = {**CPU, "memory": "60 GiB", "memory_bandwidth": "60 GB/s", "compute": "1 TFLOP/s"}
SERVER = {**CPU, "memory": "250 GiB", "memory_bandwidth": "200 GB/s", "compute": "3 TFLOP/s"}
BUSY = {"prompt_tokens": 512, "output_tokens": 128, "concurrency": 64}
ALONE = {"prompt_tokens": 2048, "output_tokens": 256}


def machine(
    model: str, nodes: list[dict[str, Any]], work: dict[str, int], quantization: str = "", **more: Any
) -> dict[str, Any]:
    """A cluster file; the objective is the rate of many sequences, or the time per token of one."""
    objective = "throughput" if work is BUSY else "latency"
    named = {"quantization": quantization} if quantization else {}
    return {"model": model, **named, "workload": work, "objective": objective, "nodes": nodes, **more}


MACHINES: dict[str, dict[str, Any]] = {
    "4 x A100 80 GB, NVLink": machine("llama-3.1-70b", [{"name": "a", "device": "a100-80gb-sxm", "count": 4}], BUSY),
    "8 x H100, NVLink": machine("llama-3.1-70b", [{"name": "h", "device": "h100-sxm", "count": 8}], BUSY),
    "2 hosts of 8 x H100, InfiniBand": machine(
        "llama-3.1-405b",
        [{"name": f"h{k}", "device": "h100-sxm", "count": 8, "host": f"h{k}"} for k in range(2)],
        BUSY,
        network={"links": [{"nodes": ["h0", "h1"], "link": "infiniband-ndr"}], "within": {"default": "infiniband-ndr"}},
    ),
    "4 x RTX 3090, PCIe": machine("llama-3.1-70b", [{"name": "g", "device": "rtx-3090", "count": 4}], BUSY, "q4_k_m"),
    "RTX 5090 + 2 x RTX 3080": machine(
        "llama-3.1-70b",
        [
            {"name": "new", "device": "rtx-5090", "host": "pc"},
            {"name": "old", "device": "rtx-3080-10gb", "count": 2, "host": "pc"},
            DESKTOP,
        ],
        ALONE,
        "q4_k_m",
    ),
    "2 x RTX 5060 Ti 16 GB": machine(
        "qwen3-32b", [{"name": "g", "device": "rtx-5060-ti-16gb", "count": 2, "host": "pc"}, DESKTOP], ALONE, "q4_k_m"
    ),
    "3 x M2 Ultra, Thunderbolt": machine(
        "llama-3.1-405b",
        [{"name": "mac", "device": "m2-ultra-192gb", "count": 3, "interconnect": "thunderbolt-4"}],
        ALONE,
        "q4_k_m",
    ),
    "RTX 3090 + 64 GB": machine("gpt-oss-120b", [{"name": "gpu", "device": "rtx-3090", "host": "pc"}, DESKTOP], ALONE),
    "RTX 4090 + 256 GB, eight channels": machine(
        "qwen3-235b-a22b", [{"name": "gpu", "device": "rtx-4090", "host": "pc"}, SERVER], ALONE, "q4_k_m"
    ),
}
