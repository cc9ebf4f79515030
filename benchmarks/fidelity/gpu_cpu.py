"""Predicted against measured on one GPU and the CPU beside it: splits of a Llama of 1.1 billion random parameters.

In every round both devices are profiled, then every split is predicted by the cost model and run by the executor's
stages in this process, with the hidden states copied between the devices; splits come in random order. The mean of the
predictions is compared with the mean of the measurements: a host whose speed drifts is profiled at the speeds at which
it is measured. Beside it stand the errors of single rounds, and how far measurements of a split are apart. Prints one
JSON document::

    python -m benchmarks.fidelity.gpu_cpu                      # cuda:0 and cpu
    python -m benchmarks.fidelity.gpu_cpu --devices cpu cpu --tiny

Needs torch, numpy and psutil; transformers only with --transformers (its layers instead of plain ones).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.fidelity.errors import error_summary
from benchmarks.fidelity.plain_llama import make
from objectives.pipeline.terms import pipeline_terms
from objectives.spans import Span
from placement.costs.build import build_tables
from placement.profile.hardware import Hardware, detect, measure_peaks, synchronizer
from placement.profile.measure import measure_blocks
from placement.profile.node import node_of
from placement.profile.roofline_fit import fit
from placement.question.cluster import Cluster, Node
from placement.question.request import Request
from placement.question.workload import Workload
from placement.readers.models.config import read_config
from placement.run.architecture import find, skeleton_from
from placement.run.random_weights import Blank, materialize
from placement.run.stage import Stage

BILLION = {
    "model_type": "llama",
    "vocab_size": 32_000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
TINY = BILLION | {"vocab_size": 2000, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 8}


def main() -> int:
    """Profile, predict, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", nargs=2, default=["cuda:0", "cpu"])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--budget", type=float, default=8.0, help="seconds of profiling for each device and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the order of the splits")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    config: dict[str, Any] = TINY if options.tiny else BILLION
    source = partial(skeleton_from, config) if options.transformers else partial(make, config)
    model = read_config(config, weights=options.dtype, name="llama-1.1b")
    work = Workload(options.prompt, options.tokens, 1)

    hardware = [detect(device) for device in options.devices]
    stages = [whole(source, options.dtype, device, work.context_tokens) for device in options.devices]
    rows: list[dict[str, Any]] = [{"spans": spans, "rounds": []} for spans in splits(model.n_blocks)]
    rng, profiles = np.random.default_rng(options.seed), []
    for _ in range(options.rounds):
        pairs = [
            profiled(name, found, source, model, work, options.dtype, options.budget)
            for name, found in zip(("gpu", "cpu"), hardware, strict=True)
        ]
        profiles.append([about for _, about in pairs])
        cluster = linked([node for node, _ in pairs], options.devices, config["hidden_size"], options.dtype)
        tables = build_tables(Request(model, cluster, work))
        for k in rng.permutation(len(rows)):
            terms = pipeline_terms(tables, [Span(*span) for span in rows[k]["spans"]]).values
            step, ttft = run(stages, rows[k]["spans"], options.devices, work)
            rows[k]["rounds"].append([terms["latency"], step, terms["ttft"], ttft])
            print(f"{rows[k]['spans']}: {terms['latency']:.5f} s predicted, {step:.5f} s measured", file=sys.stderr)
    report = {
        "model": {"parameters": model.params, "dtype": options.dtype, "layers": config["num_hidden_layers"]},
        "workload": {"prompt": work.prompt_tokens, "output": work.output_tokens},
        "profiles": profiles,
        "splits": rows,
        "step": summary(rows, 0),
        "ttft": summary(rows, 2),
    }
    text = json.dumps(report, indent=1)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def profiled(
    name: str, hardware: Hardware, source: Any, model: Any, work: Workload, dtype: str, budget_s: float
) -> tuple[Node, dict[str, Any]]:
    """Measure one device with the library's profiler."""
    samples = measure_blocks(
        source,
        model,
        hardware,
        dtype=dtype,
        batches=(1,),
        contexts=(int(work.mean_context_tokens),),
        prompts=(work.prompt_tokens,),
        budget_s=budget_s,
    )
    peaks = measure_peaks(hardware)
    line = fit([sample for sample in samples if sample.kind > 0])
    node = node_of(name, model, work, dtype, hardware, peaks, line, samples)
    about = {
        "name": hardware.name,
        "device": hardware.device,
        "conditions": dict(hardware.conditions),
        "decode_layer_s": node.decode_table[1][1],
        "prefill_layer_s": node.prefill_s_per_block[1],
        "decode_head_s": node.decode_table[1][-1],
        "bandwidth_bytes_per_s": peaks.bandwidth_bytes_per_s,
        "flops_per_s": dict(peaks.flops_per_s),
        "launch_s": peaks.launch_s,
    }
    return node, about


def linked(nodes: Sequence[Node], devices: Sequence[str], hidden: int, dtype: str) -> Cluster:
    """Measure the copies between the devices: latency of one hidden state, bandwidth of many."""
    latency, bandwidth = np.zeros((3, 3)), np.full((3, 3), np.inf)
    places = [*devices, "cpu"]
    for a, b in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)):
        if places[a] == places[b]:
            latency[a, b], bandwidth[a, b] = 1e-6, 1e12
            continue
        seconds = []
        for tokens in (1, 4096):
            values = torch.zeros((1, tokens, hidden), dtype=getattr(torch, dtype), device=places[a])
            seconds.append(copy_s(values, places[a], places[b]))
        latency[a, b] = seconds[0]
        bandwidth[a, b] = 4095 * hidden * values.element_size() / max(seconds[1] - seconds[0], 1e-9)
    return Cluster(tuple(nodes), latency, bandwidth)


def copy_s(values: torch.Tensor, source: str, target: str) -> float:
    """Median seconds of a copy between devices."""
    waits = [synchronizer(source), synchronizer(target)]
    times = []
    for _ in range(30):
        began = time.perf_counter()
        values.to(target)
        for wait in waits:
            wait()
        times.append(time.perf_counter() - began)
    return statistics.median(times[5:])


def whole(source: Any, dtype: str, device: str, room: int) -> Stage:
    """Put the whole model on a device: every split then picks its blocks."""
    model = source(dtype)
    arch = find(model)
    for block in range(arch.n_blocks):
        materialize(model, block, device)
    return Stage(Blank(find(model), device), room)


def splits(n: int) -> list[list[tuple[int, int, int]]]:
    """At least twelve placements of n blocks on devices 0 and 1: prefixes, suffixes, back and forth, all on one."""
    cuts = sorted({round(n * share) for share in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)})
    found = [[(0, 0, cut), (1, cut, n)] for cut in cuts] + [[(1, 0, cut), (0, cut, n)] for cut in cuts]
    third, quarter = n // 3, n // 4
    found += [[(0, 0, n)], [(1, 0, n)]]
    found += [[(0, 0, third), (1, third, 2 * third), (0, 2 * third, n)]]
    found += [[(1, 0, quarter), (0, quarter, 2 * quarter), (1, 2 * quarter, 3 * quarter), (0, 3 * quarter, n)]]
    return found


def run(stages: Sequence[Stage], spans: Any, devices: Sequence[str], work: Workload) -> tuple[float, float]:
    """Generate greedily; return the median seconds per token and the seconds to the first one."""
    for stage in stages:
        stage.forget(0)
    values = torch.arange(work.prompt_tokens).unsqueeze(0) % 1000
    waits = [synchronizer(device) for device in devices]
    position, times = 0, []
    for _ in range(work.output_tokens):
        began = time.perf_counter()
        length = values.shape[1]
        for node, start, stop in spans:
            values = stages[node].run(0, start, stop, position, values)
        values = values.to("cpu")
        for wait in waits:
            wait()
        times.append(time.perf_counter() - began)
        position += length
    return statistics.median(times[2:]), times[0]


def summary(rows: Sequence[dict[str, Any]], at: int) -> dict[str, Any]:
    """Quantiles of the relative errors and Kendall's tau, of the means over the rounds, and of each round alone.

    Parameters
    ----------
    rows : sequence of dict
        Splits; prediction and measurement of a round in s are at the places `at` and `at` + 1.
    """
    values = np.array([[entry[at : at + 2] for entry in row["rounds"]] for row in rows])
    predicted, measured = values.mean(axis=1).T
    spread = values[..., 1].max(axis=1) / values[..., 1].min(axis=1) - 1.0
    return {
        **error_summary(predicted, measured),
        "median_error_of_each_round": np.median(np.abs(values[..., 0] / values[..., 1] - 1.0), axis=0).tolist(),
        "median_spread_of_measurements": float(np.median(spread)),
        "splits": len(rows),
    }


if __name__ == "__main__":
    raise SystemExit(main())
