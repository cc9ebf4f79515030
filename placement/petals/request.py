"""Requests under ``runtime: petals``: servers hold decoder layers only, and no more than Petals itself would take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from objectives.petals.rules import BITS, CACHE_TOKENS, block_size, most_blocks

from ..errors import InputError

if TYPE_CHECKING:
    from objectives.replicated.tables import IntArray

    from ..plan.plan import Plan
    from ..question.model import Model
    from ..question.request import Request


def servers_only(request: Request) -> Request:
    """The request without embedding and head: those stay with the client."""
    model = request.model
    names = [block.name for block in model.blocks]
    if model.n_blocks < 3 or names[0] != "embed" or names[-1] != "head":
        raise InputError(
            f"petals is for models of embed, decoder layers, head; this one begins with {names[0]}", "runtime"
        )
    layers = replace(model, blocks=model.blocks[1:-1], ties=(), forbidden_cuts=())
    return replace(request, model=layers)


def limits(request: Request) -> IntArray:
    """Most layers of each node, from memory, number format and cache, as a Petals server counts them.

    Petals reserves the cache of 16384 tokens where several queries share a key, of 4096 elsewhere. A node's own
    `reserve` is taken off its memory first.
    """
    model = request.model
    hidden, weights, cache_per_token, grouped = _sizes(model)
    cache = cache_per_token * CACHE_TOKENS[grouped]
    counts = [
        most_blocks(
            node.memory_bytes - node.reserve_bytes,
            hidden,
            weights,
            cache,
            devices=node.tensor_parallel,
            n_blocks=model.n_blocks,
        )
        for node in request.cluster.nodes
    ]
    return np.array(counts, dtype=np.int64)


def _sizes(model: Model) -> tuple[int, float, float, bool]:
    """Hidden size, bytes of a layer as Petals counts it, bytes of cache per token, whether queries share keys."""
    layer = max(model.blocks, key=lambda block: block.weight_bytes)
    hidden = round(layer.activation_bytes_per_token / 2)
    cache = max(block.kv_bytes_per_token for block in model.blocks)
    weights: float = layer.weight_bytes * 1.01
    if layer.params and model.weights in BITS:
        weights = block_size(layer.params, 2, model.weights)
    return hidden, weights, cache, cache < 4 * hidden


def with_client(plan: Plan) -> Plan:
    """The plan in the blocks of the whole model; whoever has the first or the last layer stands for the end beside it.

    That is how the exporter reads ``--block_indices``, so plans go there and back.
    """
    last = plan.n_blocks

    def shifted(start: int, stop: int) -> tuple[int, int]:
        return (0, 0) if start == stop else (start + (start > 0), stop + 1 + (stop == last))

    spans = [replace(span, start=a, stop=b) for span in plan.placement for a, b in [shifted(span.start, span.stop)]]
    ranges = tuple(shifted(*pair) for pair in plan.ranges)
    names = ("embed", *plan.block_names, "head")
    return replace(plan, n_blocks=last + 2, block_names=names, placement=tuple(spans), ranges=ranges)
