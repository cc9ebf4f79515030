"""Model + cluster + workload -> `CostTables`: the only place where costs are made from hardware figures."""

from __future__ import annotations

import numpy as np

from objectives.pipeline.tables import CostTables

from ..errors import InputError
from ..question.cluster import Cluster
from ..question.request import Constraints, Request
from .roofline import decode_table, prefill_row, workspace_bytes

TOKEN_ID_BYTES = 4.0


def batch_sizes(concurrency: int) -> list[int]:
    """Micro-batch sizes worth trying: all up to 8, then steps of at most a half, and the concurrency itself."""
    sizes = {size for size in range(1, 9) if size <= concurrency} | {concurrency}
    size = 8
    while size < concurrency:
        sizes |= {size, size * 3 // 2}
        size *= 2
    return sorted(size for size in sizes if size <= concurrency)


def build_tables(request: Request) -> CostTables:
    """Compute the cost tables of a request; raise `InputError` naming the node or key that lacks a figure."""
    model, cluster, work, rules = request.model, request.cluster, request.workload, request.constraints
    batches = batch_sizes(work.concurrency)
    decode, prefill = [], []
    for node in cluster.nodes:
        try:
            rows = decode_table(node, model, work, batches)
            decode.append(rows)
            prefill.append(prefill_row(node, model, work, rows[0]))
        except InputError as error:
            raise error if error.where else InputError(error.detail, f"nodes[{node.name}]") from None
    workspace = workspace_bytes(model, work)
    out = np.array([block.activation_bytes_per_token for block in model.blocks])
    cut_bytes = np.concatenate([[model.input_bytes_per_token], out[:-1], [TOKEN_ID_BYTES]])
    prompt = cut_bytes * work.prompt_tokens
    prompt[-1] = TOKEN_ID_BYTES
    cut_allowed = np.ones(model.n_blocks + 1, dtype=bool)
    cut_allowed[list(model.forbidden_cuts)] = False
    return CostTables(
        batches=np.array(batches, dtype=np.int64),
        decode_s=np.stack(decode, axis=1),
        prefill_s=np.stack(prefill),
        weight_bytes=np.array(model.resident_bytes(), dtype=np.float64),
        kv_bytes=np.array([block.kv_bytes(work.context_tokens) for block in model.blocks]),
        capacity_bytes=np.array([node.memory_bytes - node.reserve_bytes - workspace for node in cluster.nodes]),
        cut_bytes=cut_bytes,
        prompt_cut_bytes=prompt,
        latency_s=_arrival_s(cluster),
        bandwidth_bytes_per_s=_finite(np.array(cluster.bandwidth_bytes_per_s)),
        price_per_hour=np.array([node.price_per_hour for node in cluster.nodes]),
        power_w=np.array([node.power_w for node in cluster.nodes]),
        cut_allowed=cut_allowed,
        allowed=_allowed(request),
        ties=np.array(
            [(tie.blocks[0], other) for tie in model.ties if not tie.copies for other in tie.blocks[1:]], dtype=np.int64
        ).reshape(-1, 2),
        required=np.array([name in rules.include for name in cluster.names]),
        max_nodes=min(rules.max_nodes or cluster.n_nodes, cluster.n_nodes),
        contiguous=rules.contiguous,
        output_tokens=work.output_tokens,
        concurrency=work.concurrency,
    )


def _arrival_s(cluster: Cluster) -> np.ndarray:
    """Latency (N + 1, N + 1) until blocks begin: every message that comes to a node starts a pass there."""
    latency = np.array(cluster.latency_s)
    latency[:, :-1] += np.array([node.pass_overhead_s for node in cluster.nodes])
    np.fill_diagonal(latency, np.diag(cluster.latency_s))
    return latency


def _finite(bandwidth: np.ndarray) -> np.ndarray:
    """Replace infinite bandwidth (a node to itself) by a number that is large enough to be free."""
    return np.where(np.isinf(bandwidth), 1e18, bandwidth)


def _allowed(request: Request) -> np.ndarray:
    rules: Constraints = request.constraints
    allowed = np.ones((request.cluster.n_nodes, request.model.n_blocks), dtype=bool)
    for name in rules.exclude:
        allowed[request.cluster.index(name)] = False
    for block, name in rules.pins.items():
        column, node = request.model.index(block), request.cluster.index(name)
        allowed[np.arange(request.cluster.n_nodes) != node, column] = False
    for name in rules.include:
        request.cluster.index(name)
    return allowed
