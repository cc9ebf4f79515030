"""What the executor adds: a three-worker pipeline on loopback against its blocks' own times and the raw messages.

::

    python -m benchmarks.fidelity.overhead --model smollm
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
from pathlib import Path

import numpy as np

from benchmarks.fidelity.hosts import model_folder
from placement.executors import run_plan
from placement.plan import Figures, Limiter, ObjectiveValue, PlacedSpan, Plan
from placement.profile.links import measure_peer, serve
from placement.readers.models import read_model


def main() -> int:
    """Run, add up, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/fidelity/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    folder = model_folder(options.model, options.out)
    plan = thirds(folder)
    prompt = np.random.default_rng(0).integers(0, 1000, 16).tolist()
    rows = []
    for _ in range(options.repeats):
        message_s = raw_message_s()
        result = run_plan(plan, folder, [prompt], options.tokens)
        # Blocks as the workers timed them, one pass through each of the three spans; four messages a token.
        blocks = sum(row["seconds"] for row in result.block_times() if row["phase"] == "decode")
        whole = result.measured.time_per_token_s
        rows.append({"time_per_token_s": whole, "blocks_s": blocks, "messages_s": 4 * message_s,
                     "overhead": whole / (blocks + 4 * message_s) - 1.0})  # fmt: skip
    print(json.dumps({"model": options.model, "median_overhead": statistics.median(r["overhead"] for r in rows),
                      "runs": rows}, indent=1))  # fmt: skip
    return 0


def thirds(folder: Path) -> Plan:
    """Three equal spans."""
    model = read_model(folder)
    n = model.n_blocks
    cuts = (0, n // 3, 2 * n // 3, n)
    return Plan(
        status="solved", model=model.name, n_blocks=n, block_names=tuple(block.name for block in model.blocks),
        placement=tuple(PlacedSpan(f"worker{k}", cuts[k], cuts[k + 1]) for k in range(3)),
        objective=ObjectiveValue("latency", 0.0, "s/token", "minimize", None, None, False),
        figures=Figures(0.0, 0.0, 0.0, 0.0, 0.0, 0.0), nodes=(), bottleneck=Limiter("node", "worker0", 0.0),
    )  # fmt: skip


def raw_message_s() -> float:
    """Half a round trip over the same transport."""
    ports: list[int] = []
    known = threading.Event()

    def ready(port: int) -> None:
        ports.append(port)
        known.set()

    token = "loopback-only"
    options = {"ready": ready, "once": True, "limit_s": 60.0}
    threading.Thread(target=serve, args=(token,), kwargs=options, daemon=True).start()
    known.wait(10)
    return measure_peer(f"127.0.0.1:{ports[0]}", token).latency_s


if __name__ == "__main__":
    raise SystemExit(main())
