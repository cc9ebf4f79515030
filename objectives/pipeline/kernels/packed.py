"""Tables and objective of a pipeline, packed for the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from objectives.combine import TERMS, Objective

from ..rounds import Rounds
from ..tables import CostTables

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
N_TERMS = len(TERMS)
# Where the terms lie in a row of them.
STEP, FIRST_TOKEN, WHOLE_REQUEST = TERMS.index("latency"), TERMS.index("ttft"), TERMS.index("request_time")
THROUGHPUT, DECODE_RATE, BOTTLENECK = TERMS.index("throughput"), TERMS.index("decode_rate"), TERMS.index("bottleneck")
RENT, ENERGY = TERMS.index("price"), TERMS.index("energy")


# Columns of `PipelineData.cuts`, `.nodes` and `.links`.
WEIGHT, KV, CUT_BYTES, PROMPT_BYTES, CUT_ALLOWED = range(5)
CAPACITY, PRICE, POWER, REQUIRED = range(4)
LATENCY, PER_BYTE, LINKED = range(3)
TOKENS, PROMPTS, SHARE, SHORT_LOG, PASSES, FIXED = range(6)
LEAST_LOG = -745.0  # its power is 0


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
    served : array (N, L + 1, 2 B)
        Prefix sums of seconds per output token, prompts included: of passes without prompts, and what prompts add.
    sizes : array (B, 6)
        By micro-batch size, for those seconds: see `Rounds`; the logarithm of 1 - share.
    beside : array (N + 1, B)
        Seconds per micro-batch that a node is busy beside its blocks; the last row is the largest of each column.
    weights, limits : array (terms,)
    scratch : array
        Reused by every call, never read across calls; all zero in column 2 between calls.
    """

    seconds: FloatArray
    served: FloatArray
    sizes: FloatArray
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
    with_served: bool
    with_decode: bool
    staged: bool
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


def rate_sizes(rates: Rounds) -> FloatArray:
    """Columns of `PipelineData.sizes`."""
    short = np.maximum(np.log1p(-np.minimum(rates.share, 1.0 - 1e-16)), LEAST_LOG)
    return np.stack([rates.tokens, rates.prompts, rates.share, short, rates.passes, rates.fixed_s], axis=-1)


def pipeline_data(tables: CostTables, objective: Objective) -> PipelineData:
    """Pack tables and objective for the kernels."""
    rates = tables.rounds("throughput")
    served = prefix(np.concatenate([rates.short_s, rates.convoy_s]))
    refused = (~tables.allowed).astype(np.float64)
    seconds = prefix(np.concatenate([tables.decode_s, tables.prefill_s[None], refused[None]]))
    linked = tables.bandwidth_bytes_per_s > 0
    per_byte = np.zeros_like(tables.bandwidth_bytes_per_s)
    np.divide(1.0, tables.bandwidth_bytes_per_s, out=per_byte, where=linked)
    weights, limits = objective.weight_vector(), objective.limit_vector()
    n_nodes, n_batches = tables.n_nodes, len(tables.batches)
    cuts = (prefix(tables.weight_bytes), prefix(tables.kv_bytes), tables.cut_bytes, tables.prompt_cut_bytes)
    nodes = (tables.capacity_bytes, tables.price_per_hour, tables.power_w, tables.required.astype(np.float64))
    wanted = (weights > 0) | np.isfinite(limits)
    return PipelineData(
        seconds=np.ascontiguousarray(seconds.transpose(1, 2, 0)),
        served=np.ascontiguousarray(served.transpose(1, 2, 0)),
        sizes=rate_sizes(rates),
        cuts=np.stack([*cuts, tables.cut_allowed.astype(np.float64)], axis=-1),
        nodes=np.stack(nodes, axis=-1),
        links=np.stack([tables.latency_s, per_byte, linked.astype(np.float64)], axis=-1),
        reach=np.stack([reach(tables, 1), reach(tables, tables.concurrency)]),
        ties=tables.ties.copy().reshape(-1, 2),
        batches=tables.batches.astype(np.float64),
        beside=beside(tables),
        weights=weights,
        limits=limits,
        scratch=np.zeros((n_nodes + 3, 4 + max(3 * n_batches, N_TERMS + 2))),
        n_nodes=n_nodes,
        n_blocks=tables.n_blocks,
        n_batches=n_batches,
        max_stages=most_stages(tables),
        max_nodes=tables.max_nodes,
        contiguous=bool(tables.contiguous),
        with_rate=bool(wanted[THROUGHPUT] or wanted[DECODE_RATE]),
        with_served=bool(wanted[THROUGHPUT]),
        with_decode=bool(wanted[DECODE_RATE]),
        staged=rates.staged,
        concurrency=tables.concurrency,
        output_tokens=tables.output_tokens,
        n_required=int(tables.required.sum()),
        scale=max(float(tables.capacity_bytes.mean()), 1.0),
        overlap=float(tables.prompt_overlap),
    )
