"""How long a client waits for its chain: ``python -m benchmarks.speed.petals_client [servers] [blocks]``.

Answers for the whole model, with sessions open and with a server just seen dead, and for a part of it; the archive is
computed in the background. Median and 95th percentile of 200 calls each; no kernel is compiled.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from placement.petals.chooser import Chooser
from placement.petals.view import Server, View

from ..quality.swarm_cases import drawn_swarm


def view(servers: int, blocks: int) -> View:
    """A random swarm as a client sees it; nine in ten round trips between servers are unknown."""
    swarm, rng = drawn_swarm(1, servers, blocks), np.random.default_rng(1)
    found = []
    for j, name in enumerate(swarm.names):
        pings = {swarm.names[k]: float(swarm.rtt_s[j, k]) for k in rng.choice(servers, servers // 10, replace=False)}
        found.append(
            Server(
                name,
                int(swarm.starts[j]),
                int(swarm.stops[j]),
                float(swarm.rates[j]),
                1.0 / float(swarm.block_s[j]),
                100_000,
                pings,
            )
        )
    return View(blocks, tuple(found), {name: float(swarm.rtt_s[-1, j]) for j, name in enumerate(swarm.names)})


def timed(label: str, call: object, count: int = 200) -> None:
    """Print median and 95th percentile in ms."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        call()  # type: ignore[operator]
        seconds.append(time.perf_counter() - began)
    print(f"{label:<34}median {1e3 * np.median(seconds):6.2f} ms, p95 {1e3 * np.percentile(seconds, 95):6.2f} ms")


def main() -> None:
    """Run."""
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    blocks = int(sys.argv[2]) if len(sys.argv) > 2 else 80
    swarm = view(servers, blocks)
    for preference in (0.0, 0.5):
        chooser = Chooser(preference)
        print(f"{servers} servers, {blocks} blocks, preference {preference:g}")
        timed("  taking a new state", lambda chooser=chooser: chooser.learn(swarm), 5)
        timed("  archive, in the background", chooser.search, 5)
        timed("  whole model", lambda chooser=chooser: chooser.chain(0, blocks, 2048))
        for key in range(30):
            chooser.opened(key, chooser.chain(0, blocks, 2048))
        timed("  whole model, 30 sessions open", lambda chooser=chooser: chooser.chain(0, blocks, 2048))
        chooser.failed(chooser.chain(0, blocks)[0][0])
        timed("  a part, after a failure", lambda chooser=chooser: chooser.chain(blocks // 4, blocks // 2, 2048))


if __name__ == "__main__":
    main()
