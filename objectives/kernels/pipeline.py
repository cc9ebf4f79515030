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
    with_rate: bool
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
        scratch=np.zeros((n_nodes + 3, 3 + max(len(tables.batches), N_TERMS + 2))),
        n_nodes=n_nodes,
        n_blocks=tables.n_blocks,
        max_stages=most_stages(tables),
        max_nodes=tables.max_nodes,
        contiguous=bool(tables.contiguous),
        with_rate=bool(objective.weight_vector()[THROUGHPUT] > 0 or np.isfinite(objective.limit_vector()[THROUGHPUT])),
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
def explained(genome, d, node, start, stop):  # type: ignore[no-untyped-def]
    """Return whether a tie to an earlier run of the same node explains one more run of it."""
    for t in range(d.ties.shape[0]):
        for side in range(2):
            if start <= d.ties[t, side] < stop:
                other = d.ties[t, 1 - side]
                if other < start and genome[1 + owner(genome, d, other)] == node:
                    return True
    return False


@kernel
def broken_rules(genome, d, used, n_required):  # type: ignore[no-untyped-def]
    """Count ties apart, nodes beyond `max_nodes`, and required nodes left out."""
    count = max(0, used - d.max_nodes) + (d.n_required - n_required)
    for t in range(d.ties.shape[0]):
        if genome[1 + owner(genome, d, d.ties[t, 0])] != genome[1 + owner(genome, d, d.ties[t, 1])]:
            count += 1
    return count


@kernel
def add_hops(genome, d, repeats, out):  # type: ignore[no-untyped-def]
    """Write latency, seconds per token on links, seconds per prompt, and the busiest link; return broken rules."""
    stages, width = genome[0], d.max_stages
    latency, on_link, prompt, widest, count = 0.0, 0.0, 0.0, 0.0, 0
    before, cut = d.n_nodes, 0
    for s in range(stages + 1):
        node = genome[1 + s] if s < stages else d.n_nodes
        if not d.linked[before, node]:
            count += 1
        if 0 < s < stages and not d.cut_allowed[cut]:
            count += 1
        latency += d.latency[before, node]
        per_byte = d.per_byte[before, node]
        seconds = d.cut_bytes[cut] * per_byte
        on_link += seconds
        prompt += d.prompt_cut_bytes[cut] * per_byte
        if repeats:
            # A link that the pipeline crosses twice is busy twice.
            for r in range(s):
                if (genome[r] if r > 0 else d.n_nodes) == before and genome[1 + r] == node:
                    seconds += d.cut_bytes[genome[width + r] if r > 0 else 0] * per_byte
        widest = max(widest, seconds)
        before = node
        cut = genome[1 + width + s] if s < stages else cut
    out[0], out[1], out[2], out[3] = latency, on_link, prompt, widest
    return count


@kernel
def sum_repeats(genome, d, n_batches, totals, mosts):  # type: ignore[no-untyped-def]
    """Busy seconds per node when nodes hold several runs; returns (missing bytes, sequences in flight)."""
    missing, fly = 0.0, float(d.concurrency)
    mosts[:n_batches] = 0.0
    for s in range(genome[0]):
        node = genome[1 + s]
        row = d.scratch[node]
        if row[2] == 0.0:
            continue
        free = d.capacity[node] - row[0]
        missing += max(0.0, row[1] - free - d.capacity[node] * 1e-12 - 1e-6)
        if free < 0.0:
            fly = 0.0
        elif row[1] > 0.0:
            fly = min(fly, np.floor(free / row[1] + 1e-9))
        for k in range(n_batches):
            mosts[k] = max(mosts[k], row[3 + k])
        row[2] = 0.0
    return missing, fly


@kernel
def rate(d, n_batches, fly, totals, mosts, hops):  # type: ignore[no-untyped-def]
    """Seconds per token of the best micro-batch size, and that size."""
    best, chosen = np.inf, 1.0
    for k in range(n_batches):
        batch = d.batches[k]
        if k > 0 and batch > fly:
            break
        busiest = max(mosts[k], batch * hops[3])
        seconds = max((totals[k] + hops[0] + batch * hops[1]) / fly, busiest / batch)
        if seconds < best:
            best, chosen = seconds, batch
    return best, chosen


@kernel
def pipeline_terms(genome, d, terms, with_rate):  # type: ignore[no-untyped-def]
    """Fill `terms` (in the order of `combine.TERMS`, then in-flight and micro-batch); return the violation.

    Without `with_rate`, throughput is left at 0 and only the first micro-batch size is looked at.
    """
    stages, width = genome[0], d.max_stages
    last = d.batches.shape[0]
    n_batches = last if with_rate else 1
    scratch = d.scratch
    totals, mosts, hops = scratch[d.n_nodes, 3:], scratch[d.n_nodes + 1, 3:], scratch[d.n_nodes + 2]
    totals[:n_batches] = 0.0
    mosts[:n_batches] = 0.0
    violation, missing, prefill, energy, price = 0.0, 0.0, 0.0, 0.0, 0.0
    fly = float(d.concurrency)
    used, n_required, start = 0, 0, 0
    # Sums per node, needed only if one comes again: 0 weights, 1 caches, 2 seen, 3... busy seconds by size.
    for s in range(stages):
        node, stop = genome[1 + s], genome[1 + width + s]
        row = scratch[node]
        fresh = row[2] == 0.0
        if fresh:
            used += 1
            price += d.price[node]
            n_required += d.required[node]
            row[:] = 0.0
            row[2] = 1.0
        elif d.contiguous and not explained(genome, d, node, start, stop):
            violation += 1.0
        weight, kv = d.weight[stop] - d.weight[start], d.kv[stop] - d.kv[start]
        free = d.capacity[node] - weight
        missing += max(0.0, kv - free - d.capacity[node] * 1e-12 - 1e-6)
        if free < 0.0:
            fly = 0.0
        elif kv > 0.0:
            fly = min(fly, np.floor(free / kv + 1e-9))
        row[0] += weight
        row[1] += kv
        before, after = d.seconds[node, start], d.seconds[node, stop]
        for k in range(n_batches):
            busy = after[k] - before[k]
            row[3 + k] += busy
            totals[k] += busy
            mosts[k] = max(mosts[k], busy)
        energy += d.power[node] * (after[0] - before[0])
        prefill += after[last] - before[last]
        violation += d.refused[node, stop] - d.refused[node, start]
        start = stop
    if used < stages:
        missing, fly = sum_repeats(genome, d, n_batches, totals, mosts)
    for s in range(stages):
        scratch[genome[1 + s], 2] = 0.0
    violation += missing / d.scale + broken_rules(genome, d, used, n_required)
    violation += add_hops(genome, d, used < stages, hops)
    fly = max(fly, 1.0)
    terms[0] = totals[0] + hops[0] + hops[1]
    terms[1] = prefill + hops[0] + hops[2]
    terms[2] = terms[1] + (d.output_tokens - 1) * terms[0]
    terms[3], terms[8] = rate(d, n_batches, fly, totals, mosts, hops) if with_rate else (0.0, 1.0)
    terms[4] = price
    terms[5] = energy
    terms[6] = max(mosts[0], hops[3])
    terms[7] = fly
    for k in range(N_TERMS):
        if terms[k] > d.limits[k] * (1.0 + 1e-12):
            violation += terms[k] / d.limits[k] - 1.0
    return violation


@kernel
def pipeline_cost(genome, d):  # type: ignore[no-untyped-def]
    """Return (cost, violation) of one genome."""
    terms = np.empty(N_TERMS + 2)
    violation = pipeline_terms(genome, d, terms, d.with_rate)
    cost = 0.0
    for k in range(N_TERMS):
        cost += d.weights[k] * terms[k]
    return cost, violation


@kernel
def pipeline_batch(genomes, d, terms, violations):  # type: ignore[no-untyped-def]
    """Fill terms (n, terms + 2) and violations (n,) of many genomes."""
    for k in range(genomes.shape[0]):
        violations[k] = pipeline_terms(genomes[k], d, terms[k], True)
