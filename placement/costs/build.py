"""Model + cluster + workload -> `CostTables`: the only place where costs are made from hardware figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from objectives.pipeline.tables import CostTables

from ..errors import InputError
from ..question.alike import kinds_of_nodes, one_of_each
from ..question.request import Constraints, Request
from .extras import extra_cache_bytes, prompt_extras_s
from .links import arrival_s, cut_bytes, prompt_overlap
from .memory import capacity_bytes
from .parts import tables_apart
from .roofline import decode_table, prefill_row
from .runtimes import RuntimeCosts, costs_or_generic
from .stream import stream_rounds


def batch_sizes(concurrency: int) -> list[int]:
    """Micro-batch sizes worth trying: all up to 8, then steps of at most a half, and the concurrency itself."""
    sizes = {size for size in range(1, 9) if size <= concurrency} | {concurrency}
    size = 8
    while size < concurrency:
        sizes |= {size, size * 3 // 2}
        size *= 2
    return sorted(size for size in sizes if size <= concurrency)


def build_tables(
    request: Request,
    costs: RuntimeCosts | None = None,
    sizes: Sequence[int] | None = None,
    *,
    streams: bool = True,
) -> CostTables:
    """Compute the cost tables of a request.

    Parameters
    ----------
    request : Request
    costs : RuntimeCosts, optional
        By default those of the runtime that the request names, the generic ones where it names none.
    sizes : sequence of int, optional
        Micro-batch sizes, ascending, the first is 1; by default all that are worth trying.
    streams : bool
        With what a stream of requests costs under an engine, prompts included.

    Returns
    -------
    CostTables

    Raises
    ------
    InputError
        A node or key lacks a figure; the message names it.
    """
    costs = costs or costs_or_generic(request.runtime or request.costs)
    if request.away:
        return tables_apart(request, lambda part: build_tables(part, costs, sizes, streams=streams))
    model, cluster, work, rules = request.model, request.cluster, request.workload, request.constraints
    batches = list(sizes or batch_sizes(work.concurrency))
    kinds = kinds_of_nodes(cluster.nodes)
    decode, prefill, room, beside = [], [], [], []
    for node in one_of_each(cluster.nodes, kinds):
        try:
            decode.append(decode_table(node, model, work, batches, costs))
            beside.append(prompt_extras_s(node, model, costs))
            prefill.append(prefill_row(node, model, work, decode[-1][0], costs) + beside[-1])
        except InputError as error:
            raise error if error.where else InputError(error.detail, f"nodes[{node.name}]") from None
        room.append(capacity_bytes(node, model, work, costs))
    served = stream_rounds(request, batches) if streams else None
    if served is not None and model.extras:
        served = replace(served, convoy_s=served.convoy_s + served.prompts[:, None, None] * np.stack(beside)[kinds])
    crossing = cut_bytes(model, costs)
    prompt = crossing * work.prompt_tokens
    prompt[-1] = crossing[-1]
    cut_allowed = np.ones(model.n_blocks + 1, dtype=bool)
    cut_allowed[list(model.forbidden_cuts)] = False
    return CostTables(
        batches=np.array(batches, dtype=np.int64),
        decode_s=np.stack(decode, axis=1)[:, kinds],
        prefill_s=np.stack(prefill)[kinds],
        weight_bytes=np.array(model.resident_bytes(), dtype=np.float64),
        kv_bytes=np.array([block.kv_bytes(work.context_tokens) for block in model.blocks])
        + extra_cache_bytes(model, work.context_tokens),
        capacity_bytes=np.array(room)[kinds],
        cut_bytes=crossing,
        prompt_cut_bytes=prompt,
        latency_s=arrival_s(cluster, model, costs),
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
        prompt_overlap=prompt_overlap(work.prompt_tokens, costs),
        served=served,
    )


def _finite(bandwidth: np.ndarray) -> np.ndarray:
    """Replace infinite bandwidth (a node to itself) by a number that is large enough to be free."""
    return np.where(np.isinf(bandwidth), 1e18, bandwidth)


def _allowed(request: Request) -> np.ndarray:
    rules: Constraints = request.constraints
    allowed = np.ones((request.cluster.n_nodes, request.model.n_blocks), dtype=bool)
    for name in (*rules.exclude, *rules.parts_only):
        allowed[request.cluster.index(name)] = False
    for block, name in rules.pins.items():
        column, node = request.model.index(block), request.cluster.index(name)
        allowed[np.arange(request.cluster.n_nodes) != node, column] = False
    for name in rules.include:
        request.cluster.index(name)
    return allowed
