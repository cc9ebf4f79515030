"""Questions that compete: what the best answer of several says of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from placement import optimize

RAM: dict[str, Any] = {"main_memory": True, "memory": "12 GiB", "memory_bandwidth": "70 GB/s", "compute": "1 TFLOP/s"}
LAPTOP: dict[str, Any] = {
    "model": "qwen3-8b",
    "quantization": "q4_k_m",
    "runtime": "llama.cpp",
    "workload": {"context": 40960},
    "nodes": [{"name": "card", "device": "rtx-4060-laptop", "host": "pc"}, {"name": "ram", "host": "pc", **RAM}],
}


@pytest.mark.parametrize("memory", [pytest.param("8 GiB", marks=pytest.mark.slow), "20 GiB"])
def test_only_a_proven_optimum_is_called_one(memory: str) -> None:
    """The winner's own question may be solved while another one, with parts in main memory, may hold a better plan."""
    nodes = [{**LAPTOP["nodes"][0], "memory": memory}, LAPTOP["nodes"][1]]
    result = optimize(None, LAPTOP | {"nodes": nodes}, time_limit=1)
    proven = result.plan.objective.proven_optimal
    assert proven == (memory == "20 GiB")
    assert (result.plan.stopped_by == "optimal") == proven == (result.stopped_by.name == "OPTIMAL")
