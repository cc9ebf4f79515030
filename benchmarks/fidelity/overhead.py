"""What the executor adds: a three-worker pipeline on loopback against its blocks' own times and the raw messages.

::

    python -m benchmarks.fidelity.overhead --model smollm

Raw messages are sends and receives of the bare process group, four a token: in a row, and, as they come in a run, each
after a pause. The least of the repeats is what the executor adds where nobody else works.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np

from benchmarks.fidelity.hops import raw_s
from benchmarks.fidelity.hosts import model_folder
from placement.plan.plan import Figures, Limiter, ObjectiveValue, PlacedSpan, Plan
from placement.readers.models.read import read_model
from placement.run import run_plan


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
        raw = raw_s()
        result = run_plan(plan, folder, [prompt], options.tokens)
        # Blocks as the workers timed them, one pass through each of the three spans; four messages a token.
        blocks = sum(row["seconds"] for row in result.block_times() if row["phase"] == "decode")
        whole = result.measured.time_per_token_s
        rows.append(
            {
                "time_per_token_s": whole,
                "blocks_s": blocks,
                "messages_s": 4 * raw["in_a_row_s"],
                "messages_after_a_pause_s": 4 * raw["after_a_pause_s"],
                "overhead": whole / (blocks + 4 * raw["in_a_row_s"]) - 1.0,
                "overhead_over_paused_messages": whole / (blocks + 4 * raw["after_a_pause_s"]) - 1.0,
            }
        )
    found: dict[str, float] = {}
    for name in ("overhead", "overhead_over_paused_messages"):
        values = [row[name] for row in rows]
        found |= {f"median_{name}": statistics.median(values), f"least_{name}": min(values)}
    print(json.dumps({"model": options.model, **found, "runs": rows}, indent=1))
    return 0


def thirds(folder: Path) -> Plan:
    """Three equal spans."""
    model = read_model(folder)
    n = model.n_blocks
    cuts = (0, n // 3, 2 * n // 3, n)
    return Plan(
        status="solved",
        model=model.name,
        n_blocks=n,
        block_names=tuple(block.name for block in model.blocks),
        placement=tuple(PlacedSpan(f"worker{k}", cuts[k], cuts[k + 1]) for k in range(3)),
        objective=ObjectiveValue("latency", 0.0, "s/token", "minimize", None, None, False),
        figures=Figures(),
        nodes=(),
        bottleneck=Limiter("node", "worker0", 0.0),
    )


if __name__ == "__main__":
    raise SystemExit(main())
