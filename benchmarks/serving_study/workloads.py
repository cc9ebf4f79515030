"""What the study serves: the models, machines and loads of the papers, and a mixed cluster planned in several ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from placement.optimize import judge, optimize
from placement.plan.plan import PlacedSpan, Plan
from placement.question.request import Request
from placement.question.requests import Requests
from placement.readers.cluster.read import read_request
from placement.simulate.serving import EngineOptions, Serving, serving_of
from placement.simulate.traffic import Arrivals, lengths_named, make_requests

HERE = Path(__file__).parent
SEARCH_S = 5.0


@dataclass(frozen=True)
class Workload:
    """A machine, a load, and how fast is fast enough.

    Attributes
    ----------
    name, paper : str
    cluster : mapping
        A cluster file. One node or several equal ones hold equal parts; others are planned by `optimize`.
    lengths : str
        Of `placement.simulate.traffic.LENGTHS`.
    limit_s : float
        Most seconds per output token that count as served.
    median : bool
        The limit is on the median; else on the mean.
    copies : int
    options : EngineOptions
    solver : str
        Of `placement.registry.SOLVERS`, where the cluster is planned.
    number : int
        Requests of a run.
    """

    name: str
    paper: str
    cluster: Mapping[str, Any]
    lengths: str
    limit_s: float = 0.2
    median: bool = False
    copies: int = 1
    options: EngineOptions = field(default_factory=lambda: EngineOptions(max_model_len=2048, ahead=False))
    solver: str = "auto"
    number: int = 2000

    @cached_property
    def question(self) -> Request:
        """The cluster file, read."""
        return read_request(self.cluster)

    @cached_property
    def plan(self) -> Plan:
        """Equal parts on equal nodes, or the best plan found."""
        names, blocks = self.question.cluster.names, self.question.model.n_blocks
        if self.cluster.get("objective"):
            return optimize(None, self.cluster, solver=self.solver, time_limit=SEARCH_S).plan
        cuts = np.linspace(0, blocks, len(names) + 1).astype(int).tolist()
        spans = [PlacedSpan(name, cuts[k], cuts[k + 1]) for k, name in enumerate(names)]
        return judge(None, self.cluster, spans)[0]

    @cached_property
    def serving(self) -> Serving:
        """The machine."""
        return serving_of(self.plan, self.question, self.options, copies=self.copies)

    def requests(self, rate: float, number: int, seed: int = 0) -> Requests:
        """Poisson arrivals."""
        rng = np.random.default_rng(seed)
        times = Arrivals(rate).draw(rng, number)
        return make_requests(times, lengths_named(self.lengths), rng, name=self.name)


def _gpus(model: str, device: str, parallel: int = 1, count: int = 1, **more: Any) -> dict[str, Any]:
    node = {"name": "host", "device": device, "tensor_parallel": parallel, "count": count}
    return {"model": model, "nodes": [node], **more}


OPT_13B = str(HERE / "models" / "opt-13b.json")
INFINIBAND = {"default": {"bandwidth": "25 GB/s", "latency": "5 us"}}
MIXED: dict[str, Any] = {
    "model": "llama-2-70b",
    "objective": "throughput",
    "workload": {"prompt_tokens": 161, "output_tokens": 338, "concurrency": 128},
    "nodes": [
        {"name": "a100", "device": "a100-80gb-sxm", "count": 2},
        {"name": "a40", "device": "a40", "count": 2},
        {"name": "l4", "device": "l4", "count": 4},
    ],
    "network": {"default": {"bandwidth": "25 Gbit/s", "latency": "50 us"}},
}
LONG = EngineOptions(max_model_len=400_000, max_num_batched_tokens=8192)
AZURE = EngineOptions(max_model_len=8192, ahead=False)  # prompts of the traces are cut at 7,400 tokens
DGX = _gpus("llama-2-70b", "a100-80gb-sxm", 8)  # as P. Patel et al. served it (ISCA 2024, arXiv:2311.18677)

WORKLOADS = (
    Workload("OPT-13B, 1 A100, ShareGPT", "vLLM", _gpus(OPT_13B, "a100-40gb-sxm"), "sharegpt"),
    Workload("OPT-13B, 1 A100, Alpaca", "vLLM", _gpus(OPT_13B, "a100-40gb-sxm"), "alpaca"),
    Workload("OPT-66B, 4 A100, ShareGPT", "vLLM", _gpus("opt-66b", "a100-40gb-sxm", 4), "sharegpt"),
    Workload("OPT-66B, 4 A100, Alpaca", "vLLM", _gpus("opt-66b", "a100-40gb-sxm", 4), "alpaca"),
    Workload("OPT-175B, 8 A100 80 GB, ShareGPT", "vLLM", _gpus("opt-175b", "a100-80gb-sxm", 8), "sharegpt"),
    Workload("OPT-175B, 8 A100 80 GB, Alpaca", "vLLM", _gpus("opt-175b", "a100-80gb-sxm", 8), "alpaca"),
    Workload("LLaMA-13B, 1 A100, ShareGPT", "vLLM", _gpus("llama-1-13b", "a100-40gb-sxm"), "sharegpt"),
    Workload(
        "GPT-3 175B, 16 A100, uniform",
        "Orca",
        _gpus("opt-175b", "a100-40gb-sxm", 8, 2, network=INFINIBAND),
        "orca",
        0.19,
        median=True,
    ),
    Workload("LLaMA-2-70B, mixed cluster, ShareGPT", "ours", MIXED, "sharegpt"),
    Workload("LLaMA-2-70B, 8 A100 80 GB, Azure chat", "Azure", DGX, "chat", options=AZURE),
    Workload("LLaMA-2-70B, 8 A100 80 GB, Azure code", "Azure", DGX, "code", options=AZURE),
    Workload(
        "LLaMA-2-13B, 4 x 1 A100 80 GB, long mix",
        "Infinite-LLM",
        _gpus("llama-2-13b", "a100-80gb-sxm", 1, network=INFINIBAND),
        "long",
        copies=4,
        options=LONG,
    ),
)

# What the study of placements by NSGA-II could not run: chains and spans of each planner, each under every policy.
SWARM: dict[str, Any] = {**MIXED, "placement": "replicated", "edges": "partial", "objective": "served"}
FRONT = {"objective": ["throughput", "latency"]}
CHAINS = (
    Workload("Petals' own choice", "founding", SWARM, "sharegpt", solver="petals", number=600),
    Workload("NSGA-II, chains", "founding", SWARM | FRONT, "sharegpt", solver="nsga2", number=600),
    Workload("auto, chains", "founding", SWARM, "sharegpt", number=600),
    Workload("NSGA-II, pipeline", "founding", MIXED | FRONT, "sharegpt", solver="nsga2", number=600),
    Workload("auto, pipeline", "founding", MIXED, "sharegpt", number=600),
)
