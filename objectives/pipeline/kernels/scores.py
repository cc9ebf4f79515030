"""Cost and violation of a pipeline in one pass over its stages: the compiled twin of `terms.py` and `limits.py`.

A pipeline is one row of integers, the *genome*: ``g[0]`` stages, their nodes in ``g[1 : 1 + S]`` and the block after
each one's last in ``g[1 + S : 1 + 2 * S]``, S being the most stages that the row can hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.combine import TERMS, Objective
from objectives.jit import inner, kernel

from ..tables import CostTables

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
N_TERMS = len(TERMS)
THROUGHPUT = TERMS.index("throughput")


# Columns of `PipelineData.cuts`, `.nodes` and `.links`.
WEIGHT, KV, CUT_BYTES, PROMPT_BYTES, CUT_ALLOWED = range(5)
CAPACITY, PRICE, POWER, REQUIRED = range(4)
LATENCY, PER_BYTE, LINKED = range(3)


class PipelineData(NamedTuple):
    """Prefix sums and constants that the kernels read; see `CostTables` for units.

    The arrays are few on purpose: every call of a compiled function counts references to each of them.

    Attributes
    ----------
    seconds : array (N, L + 1, B + 2)
        Prefix sums over the blocks before a cut: decode seconds for each micro-batch size, prefill seconds, and the
        number of blocks that the node may not hold.
    cuts : array (L + 1, 5)
        Prefix sums of weights and caches; bytes across the cut per token and per prompt; 1 where a cut may lie.
    nodes : array (N, 4)
        Capacity, price, power, 1 for required nodes.
    links : array (N + 1, N + 1, 3)
        Latency, seconds per byte, 1 where there is a link.
    reach : int array (2, 2, N, L + 1)
        ``[f, 0, i, stop]``: smallest start of a run on node i that ends at `stop` and fits; ``[f, 1, i, start]``:
        largest stop of one that begins at `start`; f = 0 with one sequence in flight, 1 with the concurrency.
    ties : int array (T, 2)
    batches : array (B,)
    beside : array (N + 1, B)
        Seconds per micro-batch that a node is busy beside its blocks; the last row is the largest of each column.
    weights, limits : array (terms,)
    scratch : array
        Reused by every call, never read across calls; all zero in column 2 between calls.
    """

    seconds: FloatArray
    cuts: FloatArray
    nodes: FloatArray
    links: FloatArray
    reach: IntArray
    ties: IntArray
    batches: FloatArray
    beside: FloatArray
    weights: FloatArray
    limits: FloatArray
    scratch: FloatArray
    n_nodes: int
    n_blocks: int
    n_batches: int
    max_stages: int
    max_nodes: int
    contiguous: bool
    with_rate: bool
    concurrency: int
    output_tokens: int
    n_required: int
    scale: float
    overlap: float


def prefix(values: FloatArray) -> FloatArray:
    """Prefix sums along the last axis, with a leading zero."""
    zeros = np.zeros((*values.shape[:-1], 1), dtype=values.dtype)
    return np.concatenate([zeros, values.cumsum(axis=-1)], axis=-1)


def most_stages(tables: CostTables) -> int:
    """Most stages that a genome of this problem can hold."""
    if tables.contiguous:
        return min(tables.n_blocks, tables.n_nodes + 2 * len(tables.ties))
    return min(tables.n_blocks, 4 * tables.n_nodes + 8)


def reach(tables: CostTables, in_flight: int) -> IntArray:
    """Smallest start by stop, and largest stop by start, of runs that fit each node: (2, N, L + 1)."""
    need = prefix(tables.weight_bytes + in_flight * tables.kv_bytes)
    capacity = tables.capacity_bytes * (1 + 1e-12) + 1e-6
    blocks = np.arange(tables.n_blocks + 1)
    out = np.empty((2, tables.n_nodes, tables.n_blocks + 1), dtype=np.int64)
    done: dict[tuple[float, bytes], int] = {}
    for node in range(tables.n_nodes):
        like = done.setdefault((float(capacity[node]), tables.allowed[node].tobytes()), node)
        if like != node:
            out[:, node] = out[:, like]
            continue
        refused = np.flatnonzero(~tables.allowed[node])
        # Runs must lie between two refused blocks.
        before = np.concatenate([[0], refused + 1])[np.searchsorted(refused, blocks, side="left")]
        after = np.append(refused, tables.n_blocks)[np.searchsorted(refused, blocks, side="left")]
        out[0, node] = np.maximum(np.searchsorted(need, need - capacity[node], side="left"), before)
        out[1, node] = np.minimum(np.searchsorted(need, need + capacity[node], side="right") - 1, after)
    return out


def beside(tables: CostTables) -> FloatArray:
    """Seconds (N + 1, B) that nodes are busy beside their blocks, the largest of all in the last row."""
    if tables.beside_s is None:
        return np.zeros((tables.n_nodes + 1, len(tables.batches)))
    return np.ascontiguousarray(np.vstack([tables.beside_s.T, tables.beside_s.max(axis=1)]))


def pipeline_data(tables: CostTables, objective: Objective) -> PipelineData:
    """Pack tables and objective for the kernels."""
    refused = (~tables.allowed).astype(np.float64)
    seconds = prefix(np.concatenate([tables.decode_s, tables.prefill_s[None], refused[None]]))
    linked = tables.bandwidth_bytes_per_s > 0
    per_byte = np.zeros_like(tables.bandwidth_bytes_per_s)
    np.divide(1.0, tables.bandwidth_bytes_per_s, out=per_byte, where=linked)
    weights, limits = objective.weight_vector(), objective.limit_vector()
    n_nodes, n_batches = tables.n_nodes, len(tables.batches)
    cuts = (prefix(tables.weight_bytes), prefix(tables.kv_bytes), tables.cut_bytes, tables.prompt_cut_bytes)
    nodes = (tables.capacity_bytes, tables.price_per_hour, tables.power_w, tables.required.astype(np.float64))
    return PipelineData(
        seconds=np.ascontiguousarray(seconds.transpose(1, 2, 0)),
        cuts=np.stack([*cuts, tables.cut_allowed.astype(np.float64)], axis=-1),
        nodes=np.stack(nodes, axis=-1),
        links=np.stack([tables.latency_s, per_byte, linked.astype(np.float64)], axis=-1),
        reach=np.stack([reach(tables, 1), reach(tables, tables.concurrency)]),
        ties=tables.ties.copy().reshape(-1, 2),
        batches=tables.batches.astype(np.float64),
        beside=beside(tables),
        weights=weights,
        limits=limits,
        scratch=np.zeros((n_nodes + 3, 3 + max(n_batches, N_TERMS + 2))),
        n_nodes=n_nodes,
        n_blocks=tables.n_blocks,
        n_batches=n_batches,
        max_stages=most_stages(tables),
        max_nodes=tables.max_nodes,
        contiguous=bool(tables.contiguous),
        with_rate=bool(weights[THROUGHPUT] > 0 or np.isfinite(limits[THROUGHPUT])),
        concurrency=tables.concurrency,
        output_tokens=tables.output_tokens,
        n_required=int(tables.required.sum()),
        scale=max(float(tables.capacity_bytes.mean()), 1.0),
        overlap=float(tables.prompt_overlap),
    )


@inner
def owner(genome, d, block):
    """Return the stage that holds a block."""
    stage = 0
    while genome[1 + d.max_stages + stage] <= block:
        stage += 1
    return stage


@inner
def explained(genome, d, node, start, stop):
    """Return whether a tie to an earlier run of the same node explains one more run of it."""
    for t in range(d.ties.shape[0]):
        for side in range(2):
            if start <= d.ties[t, side] < stop:
                other = d.ties[t, 1 - side]
                if other < start and genome[1 + owner(genome, d, other)] == node:
                    return True
    return False


@inner
def broken_rules(genome, d, used, n_required):
    """Count ties apart, nodes beyond `max_nodes`, and required nodes left out."""
    count = max(0, used - d.max_nodes) + (d.n_required - n_required)
    for t in range(d.ties.shape[0]):
        if genome[1 + owner(genome, d, d.ties[t, 0])] != genome[1 + owner(genome, d, d.ties[t, 1])]:
            count += 1
    return count


@inner
def add_hops(genome, d, repeats, out):
    """Write latency, seconds per token on links, seconds per prompt, and the busiest link; return broken rules."""
    stages, width = genome[0], d.max_stages
    latency, on_link, prompt, widest, count = 0.0, 0.0, 0.0, 0.0, 0
    before, cut = d.n_nodes, 0
    for s in range(stages + 1):
        node = genome[1 + s] if s < stages else d.n_nodes
        if d.links[before, node, LINKED] == 0.0:
            count += 1
        if 0 < s < stages and d.cuts[cut, CUT_ALLOWED] == 0.0:
            count += 1
        latency += d.links[before, node, LATENCY]
        per_byte = d.links[before, node, PER_BYTE]
        seconds = d.cuts[cut, CUT_BYTES] * per_byte
        on_link += seconds
        prompt += d.cuts[cut, PROMPT_BYTES] * per_byte
        if repeats:
            # A link that the pipeline crosses twice is busy twice.
            for r in range(s):
                if (genome[r] if r > 0 else d.n_nodes) == before and genome[1 + r] == node:
                    seconds += d.cuts[genome[width + r] if r > 0 else 0, CUT_BYTES] * per_byte
        widest = max(widest, seconds)
        before = node
        cut = genome[1 + width + s] if s < stages else cut
    out[0], out[1], out[2], out[3] = latency, on_link, prompt, widest
    return count


@inner
def sum_repeats(genome, d, n_batches):
    """Redo the sums per node where nodes hold several runs; returns (missing bytes, sequences in flight).

    Scratch row of a node: weights, caches, seen, busy seconds by micro-batch size; row N + 1 gets the busiest node's.
    """
    missing, fly, start = 0.0, float(d.concurrency), 0
    scratch, width = d.scratch, d.max_stages
    for s in range(genome[0]):
        for k in range(3 + n_batches):
            scratch[genome[1 + s], k] = 0.0
    for s in range(genome[0]):
        node, stop = genome[1 + s], genome[1 + width + s]
        scratch[node, 0] += d.cuts[stop, WEIGHT] - d.cuts[start, WEIGHT]
        scratch[node, 1] += d.cuts[stop, KV] - d.cuts[start, KV]
        for k in range(n_batches):
            scratch[node, 3 + k] += d.seconds[node, stop, k] - d.seconds[node, start, k]
            busy = scratch[node, 3 + k] + d.beside[node, k]
            scratch[d.n_nodes + 1, 3 + k] = max(scratch[d.n_nodes + 1, 3 + k], busy)
        start = stop
    for s in range(genome[0]):
        node = genome[1 + s]
        if scratch[node, 2] == 0.0:
            scratch[node, 2] = 1.0
            short, fits = room(d, node, scratch[node, 0], scratch[node, 1])
            missing += short
            fly = min(fly, fits)
    return missing, fly


@inner
def room(d, node, weight, kv):
    """Bytes missing on a node for its weights and one cache, and how many caches fit."""
    capacity = d.nodes[node, CAPACITY]
    free = capacity - weight
    short = max(0.0, kv - free - capacity * 1e-12 - 1e-6)
    if free < 0.0:
        return short, 0.0
    return short, np.floor(free / kv + 1e-9) if kv > 0.0 else np.inf


@inner
def rate(d, n_batches, fly, totals, mosts, hops):
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


@inner
def pipeline_terms(genome, d, terms, with_rate):
    """Fill `terms` (in the order of `combine.TERMS`, then in-flight and micro-batch); return the violation.

    Without `with_rate`, throughput is left at 0 and only the first micro-batch size is looked at.
    """
    stages, width, last = genome[0], d.max_stages, d.n_batches
    n_batches = last if with_rate else 1
    scratch, seconds, n = d.scratch, d.seconds, d.n_nodes
    totals, mosts, hops = scratch[n, 3:], scratch[n + 1, 3:], scratch[n + 2]
    for k in range(n_batches):
        totals[k], mosts[k] = 0.0, d.beside[n, k]
    violation, missing, prefill, slowest, energy, price = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    fly = float(d.concurrency)
    used, n_required, start = 0, 0, 0
    for s in range(stages):
        node, stop = genome[1 + s], genome[1 + width + s]
        if scratch[node, 2] == 0.0:
            scratch[node, 2] = 1.0
            used += 1
            price += d.nodes[node, PRICE]
            n_required += int(d.nodes[node, REQUIRED])
        elif d.contiguous and not explained(genome, d, node, start, stop):
            violation += 1.0
        weight, kv = d.cuts[stop, WEIGHT] - d.cuts[start, WEIGHT], d.cuts[stop, KV] - d.cuts[start, KV]
        short, fits = room(d, node, weight, kv)
        missing += short
        fly = min(fly, fits)
        for k in range(n_batches):
            busy = seconds[node, stop, k] - seconds[node, start, k]
            totals[k] += busy
            mosts[k] = max(mosts[k], busy + d.beside[node, k])
        energy += d.nodes[node, POWER] * (seconds[node, stop, 0] - seconds[node, start, 0])
        prompt = seconds[node, stop, last] - seconds[node, start, last]
        prefill += prompt
        slowest = max(slowest, prompt)
        violation += seconds[node, stop, last + 1] - seconds[node, start, last + 1]
        start = stop
    if used < stages:
        missing, fly = sum_repeats(genome, d, n_batches)
    for s in range(stages):
        scratch[genome[1 + s], 2] = 0.0
    violation += missing / d.scale + broken_rules(genome, d, used, n_required)
    violation += add_hops(genome, d, used < stages, hops)
    fly = max(fly, 1.0)
    terms[0] = totals[0] + hops[0] + hops[1]
    terms[1] = (1.0 - d.overlap) * prefill + d.overlap * slowest + hops[0] + hops[2]
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


@inner
def pipeline_cost(genome, d):
    """Return (cost, violation) of one genome."""
    terms = np.empty(N_TERMS + 2)
    violation = pipeline_terms(genome, d, terms, d.with_rate)
    cost = 0.0
    for k in range(N_TERMS):
        cost += d.weights[k] * terms[k]
    return cost, violation


@kernel
def pipeline_batch(genomes, d, terms, violations):
    """Fill terms (n, terms + 2) and violations (n,) of many genomes."""
    for k in range(genomes.shape[0]):
        violations[k] = pipeline_terms(genomes[k], d, terms[k], True)
