"""One small question of each kind, answered in no time, with names that are long or unkind."""

from __future__ import annotations

from functools import cache
from typing import Any

from placement import Plan, optimize

NODE = {"memory": "2 GiB", "decode_seconds_per_block": 0.01, "prefill_seconds_per_block": 0.05}
BLOCKS = [
    {"name": "embed", "weights": "100 MiB", "activation_per_token": "8 KiB"},
    {"name": "layer", "repeat": 6, "weights": "400 MiB", "kv_per_token": "4 KiB", "activation_per_token": "8 KiB"},
    {"name": "head", "weights": "100 MiB"},
]
NETWORK = {
    "within": {"home": {"bandwidth": "10 Gbit/s", "latency": "0.1 ms"}, "<b>far": {"link": "ethernet-1g"}},
    "between": [{"regions": ["home", "<b>far"], "bandwidth": "100 Mbit/s", "latency": "20 ms"}],
}
CLUSTER: dict[str, Any] = {
    "model": {"name": "<m>&tiny", "blocks": BLOCKS},
    "workload": {"prompt_tokens": 64, "output_tokens": 32, "concurrency": 4},
    "nodes": [
        {"name": "a-node-with-a-very-long-name-indeed<script>", "region": "home", "host": "pc", **NODE},
        {"name": "b", "region": "home", "host": "pc", **NODE},
        {"name": "c", "region": "<b>far", "price": "1 $/h", **NODE, "memory": "4 GiB"},
    ],
    "network": NETWORK,
}
SERVER = {"memory_gb": 6.0, "tau_c_s": 0.3, "tau_p_s": 0.1}
QUESTIONS: dict[str, dict[str, Any]] = {
    "pipeline": {**CLUSTER, "objective": "throughput", "copies": 1},
    "copies": {**CLUSTER, "objective": "throughput", "copies": 2},
    "front": {
        **CLUSTER,
        "objective": ["latency", "price"],
        "nodes": [{"price": "2 $/h", **n} for n in CLUSTER["nodes"]],
    },
    "replicated": {**CLUSTER, "placement": "replicated", "nodes": [{**n, "memory": "5 GiB"} for n in CLUSTER["nodes"]]},
    "sessions": {
        "num_blocks": 12,
        "block_gb": 1.0,
        "cache_gb_per_block_job": 0.1,
        "lambda_per_s": 0.05,
        "servers": [{"id": f"server-{k}", **SERVER, "tau_p_s": 0.1 + 0.01 * k} for k in range(12)],
    },
    "routes": {
        "blocks": 8,
        "client": {"site": "x"},
        "within_ms": 1,
        "servers": [
            {
                "name": f"s{k}",
                "site": "xy"[k % 2],
                "blocks": span,
                "ms_per_block": 1.0 + k,
                "tokens_per_s": 40.0 + 9 * k,
            }
            for k, span in enumerate(["0:4", "0:6", "4:8", "2:8", "0:8"])
        ],
        "rtt_ms": {"x": {"y": 40}},
    },
}


@cache
def plan_of(name: str) -> Plan:
    """The plan of a question."""
    return optimize(None, QUESTIONS[name], time_limit=1.0).plan
