"""Cost and violation of a pipeline in one pass over its stages: the compiled twin of `terms.py` and `limits.py`.

A pipeline is one row of integers, the *genome*: ``g[0]`` stages, their nodes in ``g[1 : 1 + S]`` and the block after
each one's last in ``g[1 + S : 1 + 2 * S]``, S being the most stages that the row can hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..combine import TERMS, Objective
from ..tables import CostTables
from .jit import kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
N_TERMS = len(TERMS)
THROUGHPUT = TERMS.index("throughput")


class PipelineData(NamedTuple):
    """Prefix sums and constants that the kernels read; see `CostTables` for shapes and units.

    `seconds[i, l, k]` is the sum over the blocks before `l` on node i: of decode seconds with the k-th micro-batch
    size for k < B, of prefill seconds for k = B. `scratch` is reused by every call and never read across calls.
    """

    seconds: FloatArray
    weight: FloatArray
    kv: FloatArray
    refused: FloatArray
    capacity: FloatArray
    cut_bytes: FloatArray
    prompt_cut_bytes: FloatArray
    latency: FloatArray
    per_byte: FloatArray
    linked: npt.NDArray[np.bool_]
    price: FloatArray
    power: FloatArray
    cut_allowed: npt.NDArray[np.bool_]
    ties: IntArray
    required: npt.NDArray[np.bool_]
    batches: FloatArray
    weights: FloatArray
    limits: FloatArray
    scratch: FloatArray
    n_nodes: int
    n_blocks: int
    max_stages: int
    max_nodes: int
    contiguous: bool
    concurrency: int
    output_tokens: int
    n_required: int
    scale: float


def prefix(values: FloatArray) -> FloatArray:
    """Prefix sums along the last axis, with a leading zero."""
    zeros = np.zeros((*values.shape[:-1], 1), dtype=values.dtype)
    return np.concatenate([zeros, values.cumsum(axis=-1)], axis=-1)


def most_stages(tables: CostTables) -> int:
    """Most stages that a genome of this problem can hold."""
    if tables.contiguous:
        return min(tables.n_blocks, tables.n_nodes + 2 * len(tables.ties))
    return min(tables.n_blocks, 4 * tables.n_nodes + 8)


def pipeline_data(tables: CostTables, objective: Objective) -> PipelineData:
    """Pack tables and objective for the kernels."""
    seconds = np.concatenate([prefix(tables.decode_s), prefix(tables.prefill_s)[None]])
    linked = tables.bandwidth_bytes_per_s > 0
    per_byte = np.zeros_like(tables.bandwidth_bytes_per_s)
    np.divide(1.0, tables.bandwidth_bytes_per_s, out=per_byte, where=linked)
    n_nodes = tables.n_nodes
    return PipelineData(
        seconds=np.ascontiguousarray(seconds.transpose(1, 2, 0)),
        weight=prefix(tables.weight_bytes),
        kv=prefix(tables.kv_bytes),
        refused=prefix((~tables.allowed).astype(np.float64)),
        capacity=tables.capacity_bytes.copy(),
        cut_bytes=tables.cut_bytes.copy(),
        prompt_cut_bytes=tables.prompt_cut_bytes.copy(),
        latency=tables.latency_s.copy(),
        per_byte=per_byte,
        linked=linked,
        price=tables.price_per_hour.copy(),
        power=tables.power_w.copy(),
        cut_allowed=tables.cut_allowed.copy(),
        ties=tables.ties.copy().reshape(-1, 2),
        required=tables.required.copy(),
        batches=tables.batches.astype(np.float64),
        weights=objective.weight_vector(),
        limits=objective.limit_vector(),
        scratch=np.zeros((n_nodes + 1, 3 + len(tables.batches))),
        n_nodes=n_nodes,
        n_blocks=tables.n_blocks,
        max_stages=most_stages(tables),
        max_nodes=tables.max_nodes,
        contiguous=bool(tables.contiguous),
        concurrency=tables.concurrency,
        output_tokens=tables.output_tokens,
        n_required=int(tables.required.sum()),
        scale=max(float(tables.capacity_bytes.mean()), 1.0),
    )


@kernel
def owner(genome, d, block):  # type: ignore[no-untyped-def]
    """Return the stage that holds a block."""
    stage = 0
    while genome[1 + d.max_stages + stage] <= block:
        stage += 1
    return stage


@kernel
def pipeline_terms(genome, d, terms):  # type: ignore[no-untyped-def]
    """Fill `terms` (in the order of `combine.TERMS`, then in-flight and micro-batch); return the violation."""
    stages, width = genome[0], d.max_stages
    n_batches = d.batches.shape[0]
    violation, missing = 0.0, 0.0
    step, prefill, energy, price = 0.0, 0.0, 0.0, 0.0
    fly = float(d.concurrency)
    scratch = d.scratch
    used, n_required = 0, 0
    start = 0
    # Sums per node: scratch[i, 0] weights, 1 caches, 2 runs seen, 3... busy seconds by micro-batch size.
    for s in range(stages):
        node, stop = genome[1 + s], genome[1 + width + s]
        row = scratch[node]
        if row[2] == 0.0:
            used += 1
            price += d.price[node]
            n_required += d.required[node]
        elif d.contiguous:
            explained = False
            for t in range(d.ties.shape[0]):
                for side in range(2):
                    if start <= d.ties[t, side] < stop:
                        other = d.ties[t, 1 - side]
                        explained |= other < start and genome[1 + owner(genome, d, other)] == node
            if not explained:
                violation += 1.0
        row[2] += 1.0
        row[0] += d.weight[stop] - d.weight[start]
        row[1] += d.kv[stop] - d.kv[start]
        before, after = d.seconds[node, start], d.seconds[node, stop]
        for k in range(n_batches):
            row[3 + k] += after[k] - before[k]
        first = after[0] - before[0]
        step += first
        energy += d.power[node] * first
        prefill += after[n_batches] - before[n_batches]
        violation += d.refused[node, stop] - d.refused[node, start]
        start = stop
    for s in range(stages):
        row = scratch[genome[1 + s]]
        if row[2] == 0.0:
            continue
        free = d.capacity[genome[1 + s]] - row[0]
        short = row[1] - free - d.capacity[genome[1 + s]] * 1e-12 - 1e-6
        if short > 0.0:
            missing += short
        if free < 0.0:
            fly = 0.0
        elif row[1] > 0.0:
            fly = min(fly, np.floor(free / row[1] + 1e-9))
        row[2] = 0.0
    violation += missing / d.scale + max(0, used - d.max_nodes) + (d.n_required - n_required)
    for t in range(d.ties.shape[0]):
        if genome[1 + owner(genome, d, d.ties[t, 0])] != genome[1 + owner(genome, d, d.ties[t, 1])]:
            violation += 1.0
    fly = max(fly, 1.0)
    # Hops: latency, and bytes over the link by micro-batch size.
    latency, on_link, prompt_on_link = 0.0, 0.0, 0.0
    widest = 0.0
    before_node, cut = d.n_nodes, 0
    repeats = used < stages
    for s in range(stages + 1):
        node = genome[1 + s] if s < stages else d.n_nodes
        if not d.linked[before_node, node]:
            violation += 1.0
        if 0 < s < stages and not d.cut_allowed[cut]:
            violation += 1.0
        latency += d.latency[before_node, node]
        seconds = d.cut_bytes[cut] * d.per_byte[before_node, node]
        on_link += seconds
        prompt_on_link += d.prompt_cut_bytes[cut] * d.per_byte[before_node, node]
        if repeats:
            for r in range(s):
                a = genome[r] if r > 0 else d.n_nodes
                if a == before_node and genome[1 + r] == node:
                    seconds += d.cut_bytes[genome[width + r] if r > 0 else 0] * d.per_byte[a, node]
        widest = max(widest, seconds)
        before_node = node
        cut = genome[1 + width + s] if s < stages else cut
    best, chosen, narrow = np.inf, 1.0, 0.0
    for k in range(n_batches):
        if k > 0 and d.batches[k] > fly:
            break
        total, most = 0.0, 0.0
        for s in range(stages):
            row = scratch[genome[1 + s]]
            total += row[3 + k] if row[2] == 0.0 else 0.0
            row[2] = 1.0
            most = max(most, row[3 + k])
        for s in range(stages):
            scratch[genome[1 + s], 2] = 0.0
        most = max(most, d.batches[k] * widest)
        seconds = max((total + latency + d.batches[k] * on_link) / fly, most / d.batches[k])
        if k == 0:
            narrow = most
        if seconds < best:
            best, chosen = seconds, d.batches[k]
    for s in range(stages):
        scratch[genome[1 + s]] = 0.0
    step += latency + on_link
    ttft = prefill + latency + prompt_on_link
    terms[0] = step
    terms[1] = ttft
    terms[2] = ttft + (d.output_tokens - 1) * step
    terms[3] = best
    terms[4] = price
    terms[5] = energy
    terms[6] = narrow
    terms[7] = fly
    terms[8] = chosen
    for k in range(N_TERMS):
        if terms[k] > d.limits[k] * (1.0 + 1e-12):
            violation += terms[k] / d.limits[k] - 1.0
    return violation


@kernel
def pipeline_cost(genome, d):  # type: ignore[no-untyped-def]
    """Return (cost, violation) of one genome."""
    terms = np.empty(N_TERMS + 2)
    violation = pipeline_terms(genome, d, terms)
    cost = 0.0
    for k in range(N_TERMS):
        cost += d.weights[k] * terms[k]
    return cost, violation


@kernel
def pipeline_batch(genomes, d, terms, violations):  # type: ignore[no-untyped-def]
    """Fill terms (n, terms + 2) and violations (n,) of many genomes."""
    for k in range(genomes.shape[0]):
        violations[k] = pipeline_terms(genomes[k], d, terms[k])
