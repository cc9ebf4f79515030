"""What a message costs on this machine beside an emulated link: the profiler's pings over the executor's transport.

Two processes send each other small messages over a link that is emulated as in a run, with the rests of a pipeline in
between; what the way takes longer than the link says is the cost of a hop here::

    python -m benchmarks.fidelity.hops
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LINK_S = 0.005


def main() -> int:
    """Measure, or be one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rank", type=int, default=-1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--evict", type=float, default=64e6, help="bytes read between pings")
    parser.add_argument("--raw", action="store_true", help="sends and receives of the process group, no transport")
    options = parser.parse_args()
    if options.rank < 0:
        print(json.dumps(raw_s() if options.raw else {"hop_s": hop_s(options.evict)}))
        return 0
    print(json.dumps(one_side(options.rank, options.port, options.evict, options.raw)), flush=True)
    os._exit(0)  # gloo's threads do not end by themselves


def hop_s(evict_bytes: float) -> float:
    """Seconds that a message takes beyond its emulated link."""
    return float(_two_processes("--evict", str(evict_bytes))["hop_s"])


def raw_s() -> dict[str, float]:
    """Seconds of one send and receive of the bare process group: one after the other, and after a pause each."""
    return dict(_two_processes("--raw"))


def _two_processes(*words: str) -> dict[str, Any]:
    from placement.run.control import free_port

    command = [sys.executable, "-m", "benchmarks.fidelity.hops", "--port", str(free_port("127.0.0.1")), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    sides = [
        subprocess.Popen([*command, "--rank", str(rank)], stdout=subprocess.PIPE, cwd=ROOT, env=environment)
        for rank in (0, 1)
    ]
    try:
        answers = [json.loads(side.communicate(timeout=120)[0]) for side in sides]
    finally:
        for side in sides:
            side.kill()
    return dict(answers[0])


def one_side(rank: int, port: int, evict_bytes: float, raw: bool) -> dict[str, Any]:
    """Ask (rank 0) or answer (rank 1)."""
    import torch
    from torch.distributed.distributed_c10d import PrefixStore

    from placement.profile.link_pings import part, ping, pong
    from placement.profile.pauses import Rest
    from placement.run.device_groups import make_group
    from placement.run.emulate import sharp_timers
    from placement.run.proven_store import open_store
    from placement.run.transport import Transport

    torch.set_num_threads(1)
    sharp_timers()
    sys.setswitchinterval(0.0005)  # as the workers do
    store = open_store("127.0.0.1", port, "between two processes", serve=rank == 0)
    group = make_group(PrefixStore("hops", store), rank, 2, "127.0.0.1", 60.0)
    if raw:
        return {"in_a_row_s": raw_pings(group, rank, 0.0), "after_a_pause_s": raw_pings(group, rank, 0.01)}
    links = {(0, 1): (LINK_S, 1e18), (1, 0): (LINK_S, 1e18)}
    transport = Transport(group, [0, 1], rank, links)
    if rank:
        pong(transport, 1, 0)
        part(transport, 1, 0)
        return {}
    # Little is read and long slept: who has just worked for long waits longer for a core on a busy machine.
    rest = Rest(least_s=0.03, evict_bytes=min(evict_bytes, 32e6)).between("cpu")
    latency_s, _, _ = ping(transport, 0, 1, rest=rest)
    part(transport, 0, 1)
    return {"hop_s": max(latency_s - LINK_S, 0.0)}


def raw_pings(group: Any, rank: int, pause_s: float) -> float:
    """Half the median of a round trip of as many bytes as the executor sends for a token."""
    import torch

    values, trips = torch.zeros(4096, dtype=torch.uint8), []
    for _ in range(200):
        if rank:
            group.recv([values], 0, 0).wait()
            group.send([values], 0, 0).wait()
            continue
        time.sleep(pause_s)
        began = time.perf_counter()
        group.send([values], 1, 0).wait()
        group.recv([values], 1, 0).wait()
        trips.append((time.perf_counter() - began) / 2)
    return float(np.median(trips)) if trips else 0.0


if __name__ == "__main__":
    sys.exit(main())
