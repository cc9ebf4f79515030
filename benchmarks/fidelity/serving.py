"""Simulated against real serving: load stages of vLLM on H100, and runs of which every request is known.

    python -m benchmarks.fidelity.serving            # scores
    python -m benchmarks.fidelity.serving --fit      # two efficiencies by GPU, for placement/catalog/serving.yaml

The efficiencies of the H100 are fitted on four stages, by the end-to-end latency; the others are held out. A run is the
only one of its GPU: there the score is that of the fit.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from placement.optimize import judge
from placement.plan.plan import PlacedSpan
from placement.question.requests import Requests
from placement.readers.cluster.read import read_request
from placement.simulate.serving import EngineOptions, ServingRun, simulate
from placement.simulate.traffic import Arrivals, Lengths, Prefixes, Uniform, make_requests

DATA = Path(__file__).parents[1] / "serving_study"
FITTED_ON = ("llama2-7b-general-8", "llama2-7b-general-20", "codellama-34b-codegen-10", "mixtral-8x7b-general-8")
BANDWIDTHS, COMPUTES = (0.84, 0.86, 0.88, 0.9, 0.92), (0.5, 0.6, 0.7)
RUN_BANDWIDTHS, RUN_COMPUTES = (0.8, 0.84, 0.88, 0.92, 0.96), (0.5, 0.6, 0.7, 0.8, 0.9)
FIT_S = 100.0  # of a stage that is simulated for the fit


@dataclass(frozen=True, slots=True)
class Real:
    """A run whose requests are known one by one, and how its engine was set.

    Attributes
    ----------
    name, model, device : str
    tensor_parallel : int
    max_num_seqs : int
    kv_blocks : int or None
        None: it was not recorded.
    interconnect : mapping or None
        The link between the devices, as its authors' simulator assumes it.
    """

    name: str
    model: str
    device: str
    tensor_parallel: int
    max_num_seqs: int
    kv_blocks: int | None
    interconnect: Mapping[str, str] | None = None


PCIE = {"bandwidth": "16 GB/s", "latency": "20 us"}
RUNS = (
    Real("rtx4090_llama31_8b", "llama-3.1-8b", "rtx-4090", 1, 256, 2588),
    Real("rtxpro6000_qwen3_32b_tp2", "qwen3-32b", "rtx-pro-6000", 2, 128, None, PCIE),
)


def table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a file whose first lines are remarks."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return csv.DictReader(lines)


def node_of(device: str, parallel: int, efficiency: tuple[float, float] | None, link: Any = None) -> dict[str, Any]:
    """An entry of a cluster file.

    Parameters
    ----------
    device : str
    parallel : int
        Devices in tensor parallel.
    efficiency : (float, float) or None
        Compute and bandwidth; None: those of the catalog.
    link : mapping, optional
        Between the devices.
    """
    node: dict[str, Any] = {"name": "gpu", "device": device}
    if parallel > 1:
        node |= {"tensor_parallel": parallel}
        node |= {"interconnect": dict(link)} if link else {}
    if efficiency is not None:
        node["efficiency"] = {"compute": efficiency[0], "bandwidth": efficiency[1]}
    return node


def served(model: str, node: Mapping[str, Any], requests: Requests, options: EngineOptions) -> ServingRun:
    """Serve requests on one node that holds the whole model."""
    cluster = {"model": model, "nodes": [dict(node)]}
    question = read_request(cluster)
    plan, _ = judge(None, cluster, [PlacedSpan("gpu", 0, question.model.n_blocks)])
    return simulate(plan, question, requests, options=options)


def stage_requests(stage: Mapping[str, str], seconds: float | None, seed: int = 0) -> Requests:
    """Poisson arrivals of prompts that come again and again, as the stage states them."""
    rng = np.random.default_rng(seed)
    rate = float(stage["rate_per_s"])
    number = int(stage["requests"]) if seconds is None else int(rate * seconds)
    lengths = Lengths(
        Uniform(int(stage["prompt_least"]), int(stage["prompt_most"])),
        Uniform(int(stage["output_tokens"]), int(stage["output_tokens"])),
    )
    prefixes = Prefixes(int(stage["system_tokens"]), int(stage["groups"]), int(stage["questions"]))
    return make_requests(Arrivals(rate).draw(rng, number), ((1.0, lengths),), rng, prefixes=prefixes)


STAGE_OPTIONS = EngineOptions(max_num_seqs=128, max_num_batched_tokens=2048, max_model_len=4096, memory_share=0.9)


def stage_errors(
    stage: Mapping[str, str], efficiency: tuple[float, float] | None = None, seconds: float | None = None
) -> dict[str, float]:
    """Simulated over measured, less 1, of one stage.

    Parameters
    ----------
    stage : mapping
        A row of vllm_loads.csv.
    efficiency : (float, float), optional
        Compute and bandwidth; by default the catalog's.
    seconds : float, optional
        Length that is simulated; by default the stage's own.
    """
    node = node_of(stage["device"], int(stage["tensor_parallel"]), efficiency)
    f = served(stage["model"], node, stage_requests(stage, seconds), STAGE_OPTIONS).figures
    found = {
        "latency": f.latency_s.mean / float(stage["latency_mean_s"]),
        "throughput": f.requests_per_s / float(stage["requests_per_s"]),
        "ttft_p50": f.ttft_s.p50 / float(stage["ttft_p50_s"]),
        "ttft_mean": f.ttft_s.mean / float(stage["ttft_mean_s"]),
    }
    return {name: ratio - 1.0 for name, ratio in found.items()}


def run_errors(real: Real, efficiency: tuple[float, float] | None = None) -> dict[str, float]:
    """Simulated over measured, less 1, of a run."""
    rows = list(table(DATA / "runs" / f"{real.name}.csv"))
    column = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    tokens = {name: column[name].astype(np.int64) for name in ("prompt_tokens", "output_tokens")}
    requests = Requests(column["arrival_s"], tokens["prompt_tokens"], tokens["output_tokens"], name=real.name)
    options = EngineOptions(
        max_num_seqs=real.max_num_seqs, max_num_batched_tokens=2048, memory_share=0.9, kv_blocks=real.kv_blocks
    )
    node = node_of(real.device, real.tensor_parallel, efficiency, real.interconnect)
    f = served(real.model, node, requests, options).figures
    end = float((column["arrival_s"] + column["latency_s"]).max())
    between = (column["latency_s"] - column["ttft_s"]) / (column["output_tokens"] - 1.0)
    return {
        "latency": f.latency_s.mean / float(column["latency_s"].mean()) - 1.0,
        "throughput": f.output_tokens_per_s / (float(column["output_tokens"].sum()) / end) - 1.0,
        "ttft_mean": f.ttft_s.mean / float(column["ttft_s"].mean()) - 1.0,
        "time_per_token": f.time_per_token_s.mean / float(between.mean()) - 1.0,
    }


def fit() -> dict[str, tuple[float, float]]:
    """Compute and bandwidth efficiency by GPU with the least squared error of the end-to-end latency."""
    stages = [stage for stage in table(DATA / "vllm_loads.csv") if stage["stage"] in FITTED_ON]
    found = {}
    grid = list(itertools.product(COMPUTES, BANDWIDTHS))
    found["h100-sxm"] = min(grid, key=lambda e: sum(stage_errors(s, e, FIT_S)["latency"] ** 2 for s in stages))
    for real in RUNS:
        both = list(itertools.product(RUN_COMPUTES, RUN_BANDWIDTHS))
        found[real.device] = min(both, key=lambda e: sum(value**2 for value in run_errors(real, e).values()))
    return found


def line(name: str, errors: Mapping[str, float], remark: str = "") -> str:
    """One row of the table."""
    return f"| {name} | " + " | ".join(f"{key} {value:+.1%}" for key, value in errors.items()) + f" | {remark} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the scores, or the fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fit", action="store_true")
    if parser.parse_args(arguments).fit:
        for device, (compute, bandwidth) in fit().items():
            print(f"{device}: {{compute: {compute}, bandwidth: {bandwidth}}}")
        return
    held_out: list[dict[str, float]] = []
    for stage in table(DATA / "vllm_loads.csv"):
        errors = stage_errors(stage)
        fitted = stage["stage"] in FITTED_ON
        held_out += [] if fitted else [errors]
        print(line(stage["stage"], errors, "fitted" if fitted else ""), flush=True)
    means = {name: float(np.mean([abs(errors[name]) for errors in held_out])) for name in held_out[0]}
    print(line("mean, held out", means))
    for real in RUNS:
        print(line(real.name, run_errors(real), "fitted"), flush=True)


if __name__ == "__main__":
    main()
