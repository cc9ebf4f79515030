"""Replicated tables from a request: a model, a cluster and a workload, with the costs of pipelines."""

from __future__ import annotations

import numpy as np

from objectives.pipeline.tables import CostTables
from objectives.replicated.tables import FloatArray, IntArray, ReplicatedTables
from placement.costs.build import build_tables
from placement.question.case import ReplicatedCase
from placement.question.request import Request
from placement.question.workload import Workload

from ..rules import exporter_name

# Bytes/s of a network card that never binds: a cluster file gives links only.
WIDE = 1e15


def case_of(request: Request, *, most: IntArray | None = None) -> ReplicatedCase:
    """Build the tables of a request; no node holds more than its `most` blocks.

    Blocks count as alike: seconds are means over the blocks, and a node holds k blocks when the largest k in a row fit
    together with the cache of one request. The rate counts prompt and output tokens, at the batch that the cache allows
    and that is fastest. For Petals every hop goes through the client, unless its servers push to each other.
    """
    rules = request.constraints
    tables = build_tables(request, streams=False)
    work, cluster, blocks = request.workload, request.cluster, request.model.n_blocks
    n = tables.n_nodes
    rate, kv = _held(tables, work)
    excluded = [cluster.index(name) for name in rules.exclude]
    rate[excluded] = 0.0
    if most is not None:
        rate[np.arange(blocks)[None, :] >= most[:, None]] = 0.0
        kv[rate <= 0] = 0.0
    width = max(1, int((rate > 0).any(axis=0).sum()))
    between = tables.cut_bytes[1:-1].max() if blocks > 1 else 0.0
    built = ReplicatedTables(
        n_blocks=blocks,
        rate=rate[:, :width].copy(),
        kv_tokens=kv[:, :width].copy(),
        nic_in=np.full(n, WIDE),
        nic_out=np.full(n, WIDE),
        client_in=WIDE,
        client_out=WIDE,
        bandwidth_bytes_per_s=tables.bandwidth_bytes_per_s.copy(),
        latency_s=tables.latency_s.copy(),
        token_bytes=float(max(tables.cut_bytes[0], 1.0)),
        activation_bytes=float(max(0.0, between - max(tables.cut_bytes[0], 1.0))),
        partial=request.edges == "partial",
        prompt_at=np.array([0.0, float(work.prompt_tokens)]),
        prompt_s=np.column_stack([np.zeros(n), tables.prefill_s.mean(axis=1)]),
        decode_at=np.concatenate([[0.0], tables.batches.astype(np.float64)]),
        decode_s=np.column_stack([np.zeros(n), tables.decode_s.mean(axis=2).T]),
        prompt_tokens=float(work.prompt_tokens),
        output_tokens=float(work.output_tokens),
        concurrency=float(work.concurrency),
        availability=np.array([node.availability for node in cluster.nodes]),
        price_per_hour=tables.price_per_hour.copy(),
        block_bytes=tables.weight_bytes.copy(),
        running=np.zeros((n, 2), dtype=np.int64),
        min_replicas=request.min_replicas,
        max_stages=request.max_stages or n,
        must=_must(request),
        max_nodes=rules.max_nodes or 0,
    )
    if exporter_name(request.runtime) == "petals" and not request.server_push:
        built = built.through_client()  # as every release runs its chains
    kinds = tuple(node.device or node.name for node in cluster.nodes)
    regions = tuple(node.region for node in cluster.nodes)
    blocks_named = tuple(block.name for block in request.model.blocks)
    return ReplicatedCase(request.model.name, cluster.names, kinds, regions, built, blocks_named)


def _must(request: Request) -> IntArray:
    """Nodes and the blocks that they must hold: pins, and any block for those in `include`."""
    model, cluster, rules = request.model, request.cluster, request.constraints
    pins = [(cluster.index(node), model.index(block)) for block, node in rules.pins.items()]
    rows = [*pins, *((cluster.index(name), -1) for name in rules.include)]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _held(tables: CostTables, work: Workload) -> tuple[FloatArray, FloatArray]:
    """Tokens/s (N, L), prompts included, at the best batch that fits, and tokens of cache, by k - 1 for k blocks."""
    n, blocks = tables.n_nodes, tables.n_blocks
    rate, kv = np.zeros((n, blocks)), np.zeros((n, blocks))
    prefill, decode, batches = tables.prefill_s.mean(axis=1), tables.decode_s.mean(axis=2), tables.batches[:, None]
    weights, caches = np.zeros(blocks + 1), np.zeros(blocks + 1)
    for k in range(1, blocks + 1):
        # Sums of k blocks in a row, each from that of k - 1 before: a difference of long sums would not be exact.
        weights = weights[:-1] + tables.weight_bytes[k - 1 :]
        caches = caches[:-1] + tables.kv_bytes[k - 1 :]
        room = _room(tables, float(weights.max()), float(caches.max()))
        if not room.any():
            break  # nor is there room for more blocks
        kv[:, k - 1] = room * work.context_tokens
        seconds = k * (prefill + work.output_tokens * decode / batches)
        rates = (work.prompt_tokens + work.output_tokens) / np.maximum(seconds, 1e-300)
        rate[:, k - 1] = np.where(room >= batches, rates, 0.0).max(axis=0)
    return rate, kv


def _room(tables: CostTables, weights: float, caches: float) -> FloatArray:
    """Requests whose caches fit on each node beside blocks of these bytes; 0 where not even the blocks fit."""
    free = np.maximum(tables.capacity_bytes - weights, 0.0)
    room: FloatArray = np.floor(free / caches + 1e-9) if caches > 0 else np.where(free > 0, 1e9, 0.0)
    return room
