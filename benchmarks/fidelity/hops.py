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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LINK_S = 0.005


def main() -> int:
    """Measure, or be one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rank", type=int, default=-1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--evict", type=float, default=64e6, help="bytes read between pings")
    options = parser.parse_args()
    if options.rank < 0:
        print(json.dumps({"hop_s": hop_s(options.evict)}))
        return 0
    print(json.dumps(one_side(options.rank, options.port, options.evict)), flush=True)
    os._exit(0)  # gloo's threads do not end by themselves


def hop_s(evict_bytes: float) -> float:
    """Seconds that a message takes beyond its emulated link."""
    from placement.executors.launcher import free_port

    command = [sys.executable, "-m", "benchmarks.fidelity.hops", "--port", str(free_port("127.0.0.1"))]
    command += ["--evict", str(evict_bytes)]
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
    return float(answers[0]["hop_s"])


def one_side(rank: int, port: int, evict_bytes: float) -> dict[str, Any]:
    """Ask (rank 0) or answer (rank 1)."""
    import torch
    from torch.distributed import PrefixStore

    from placement.executors.control import open_store
    from placement.executors.groups import make_group
    from placement.executors.pace import sharp_timers
    from placement.executors.transport import Transport
    from placement.profile.pings import part, ping, pong
    from placement.profile.rest import Rest

    torch.set_num_threads(1)
    sharp_timers()
    sys.setswitchinterval(0.0005)  # as the workers do
    store = open_store("127.0.0.1", port, serve=rank == 0)
    group = make_group(PrefixStore("hops", store), rank, 2, "127.0.0.1", 60.0)
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


if __name__ == "__main__":
    sys.exit(main())
