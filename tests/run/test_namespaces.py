"""Emulated hosts in network namespaces, where the system allows them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from placement.question.cluster import Cluster
from placement.run import Launch, run_plan
from placement.run.namespaces import available, network
from tests.run.tiny_models import greedy, plan_by_hand, small_cluster, some_prompts

pytestmark = pytest.mark.skipif(not available(), reason="network namespaces need root, iproute2 and a willing kernel")


@pytest.mark.slow
def test_workers_in_namespaces(tiny_model: Callable[[str], Path]) -> None:
    """Equal tokens, shaped links that show in the time to first token, and nothing left behind."""
    folder, plain = tiny_model("llama"), small_cluster(2, latency_s=0.01)
    # 50 kB/s from a to b: a prompt of 16 states of 128 bytes takes 41 ms there.
    bandwidth = np.array(plain.bandwidth_bytes_per_s)
    bandwidth[0, 1] = 50e3
    cluster = Cluster(plain.nodes, np.array(plain.latency_s), bandwidth)
    prompts = some_prompts(1, 16)
    with network(cluster) as net:
        result = run_plan(
            plan_by_hand(("a", 0, 3), ("b", 3, 6)), folder, prompts, 6, cluster=cluster, launch=Launch(network=net)
        )
        names = list(net.namespaces.values())
    assert [list(row) for row in result.tokens] == greedy(folder, prompts, 6)
    assert "namespaces" in result.emulation
    assert result.measured.time_per_token_s > 0.03
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not [name for name in names if name in left]
