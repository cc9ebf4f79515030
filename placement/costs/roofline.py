"""Seconds of a block on a node from the roofline of the device.

The slower of arithmetic and memory traffic, plus a launch overhead (S. Williams, A. Waterman, D. Patterson, "Roofline",
CACM 52(4), 2009, doi:10.1145/1498765.1498785). Decode reads all weights once per step, so a micro-batch is nearly free
until arithmetic or the caches dominate; tensor parallelism adds two ring all-reduces of the activation per block
(M. Shoeybi et al., "Megatron-LM", arXiv:1909.08053).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..question.cluster import Node
from ..question.model import Block, Model
from ..question.workload import Workload

FloatArray = npt.NDArray[np.float64]


def pass_s(node: Node, block: Block, dtype: str, tokens: float, flops: float, cache_bytes: float) -> float:
    """Seconds of one pass of `tokens` tokens through a block.

    Parameters
    ----------
    tokens : float
        Tokens whose weights are read together.
    flops : float
        Floating-point operations of the pass.
    cache_bytes : float
        Bytes of cache read.
    """
    arithmetic_s = flops / (node.peak_flops_per_s(dtype) * node.compute_efficiency) if flops else 0.0
    moved = block.read_bytes(tokens) + cache_bytes
    memory_s = moved / (node.memory_bandwidth_bytes_per_s * node.bandwidth_efficiency)
    return max(arithmetic_s, memory_s) + node.overhead_s + all_reduce_s(node, block, tokens)


def all_reduce_s(node: Node, block: Block, tokens: float) -> float:
    """Seconds of the two ring all-reduces of a block under tensor parallelism; 0 for a single device."""
    peers = node.tensor_parallel - 1
    if peers <= 0 or block.lookup or block.last_token_only:
        return 0.0
    moved = 2.0 * peers / node.tensor_parallel * tokens * block.activation_bytes_per_token
    return 2.0 * (2.0 * peers * node.all_reduce_latency_s + moved / node.all_reduce_bandwidth_bytes_per_s)


def decode_s(node: Node, block: Block, model: Model, workload: Workload, batch: int) -> float:
    """Seconds of one decode step of `batch` sequences, at the mean context of the workload."""
    context = block.context_tokens(workload.mean_context_tokens)
    flops = batch * (block.flops_per_token + block.attention_flops_per_token * context)
    cache = batch * block.kv_bytes(workload.mean_context_tokens)
    return pass_s(node, block, model.compute_dtype, batch, flops, cache)


def prefill_s(node: Node, block: Block, model: Model, workload: Workload) -> float:
    """Seconds of one whole prompt; attention is causal, so a token sees half of the prompt on average."""
    tokens = 1 if block.last_token_only else workload.prompt_tokens
    seen = block.context_tokens(workload.prompt_tokens / 2.0)
    flops = tokens * (block.flops_per_token + block.attention_flops_per_token * seen)
    return pass_s(node, block, model.compute_dtype, tokens, flops, block.kv_bytes(workload.prompt_tokens))


def has_roofline(node: Node, model: Model) -> bool:
    """True when the node states what an analytic estimate needs."""
    return node.memory_bandwidth_bytes_per_s > 0 and node.peak_flops_per_s(model.compute_dtype) > 0


def decode_table(node: Node, model: Model, workload: Workload, batches: Sequence[int]) -> FloatArray:
    """Decode seconds (B, L): measured where given, else the roofline.

    A measurement at one micro-batch size is carried to other sizes by the ratio that the roofline gives, or, without
    one, in proportion to the size (no gain from batching is assumed).
    """
    analytic = has_roofline(node, model)
    measured = {size: spread(row, model) for size, row in node.decode_table.items()}
    if node.decode_s_per_block and node.decode_batch not in measured:
        measured[node.decode_batch] = spread(node.decode_s_per_block, model)
    if not measured and not analytic:
        raise InputError(
            "expected a device, or compute and memory_bandwidth, or decode_seconds_per_block", f"nodes[{node.name}]"
        )

    kinds, kind_of = (_kinds(model), _kind_of(model)) if analytic else ([], np.empty(0, dtype=np.int64))

    def roofline(batch: int) -> FloatArray:
        return np.array([decode_s(node, block, model, workload, batch) for block in kinds])[kind_of]

    rows = []
    for batch in batches:
        if not measured:
            rows.append(roofline(batch))
        elif batch in measured:
            rows.append(measured[batch])
        else:
            rows.append(_carried(measured, batch, roofline if analytic else None))
    return np.stack(rows)


def _carried(measured: dict[int, FloatArray], batch: int, roofline: object) -> FloatArray:
    below = [size for size in measured if size < batch]
    above = [size for size in measured if size > batch]
    if below and above:
        low, high = max(below), min(above)
        share = (batch - low) / (high - low)
        return measured[low] * (1 - share) + measured[high] * share
    known = max(below) if below else min(above)
    if callable(roofline):
        ratio = roofline(batch) / np.maximum(roofline(known), 1e-30)
        return np.asarray(measured[known] * ratio)
    return measured[known] * (batch / known if batch > known else 1.0)


def prefill_row(node: Node, model: Model, workload: Workload, decode_row: FloatArray) -> FloatArray:
    """Prefill seconds (L,): measured, else the roofline, else one decode step per prompt token."""
    if node.prefill_s_per_block:
        return spread(node.prefill_s_per_block, model)
    if has_roofline(node, model):
        return np.array([prefill_s(node, block, model, workload) for block in _kinds(model)])[_kind_of(model)]
    tokens = [1 if block.last_token_only else workload.prompt_tokens for block in model.blocks]
    return decode_row * np.array(tokens, dtype=np.float64)


def spread(values: Sequence[float], model: Model) -> FloatArray:
    """One value for all blocks, or one per block, as an array (L,)."""
    if len(values) not in (1, model.n_blocks):
        raise InputError(f"expected one number or {model.n_blocks}, one per block, got {len(values)}")
    return np.full(model.n_blocks, values[0]) if len(values) == 1 else np.array(values, dtype=np.float64)


def workspace_bytes(model: Model, workload: Workload) -> float:
    """Bytes of buffers for one prompt: in, out and two intermediates of the widest activation."""
    return 4.0 * workload.prompt_tokens * max(block.activation_bytes_per_token for block in model.blocks)


def _signature(block: Block) -> tuple[object, ...]:
    return tuple(getattr(block, name) for name in Block.__slots__ if name != "name")


def _kinds(model: Model) -> list[Block]:
    """Blocks that differ in more than their name, each once: tables of a thousand nodes stay quick to build."""
    return list({_signature(block): block for block in model.blocks}.values())


def _kind_of(model: Model) -> npt.NDArray[np.int64]:
    order = {_signature(block): None for block in model.blocks}
    numbers = {signature: number for number, signature in enumerate(order)}
    return np.array([numbers[_signature(block)] for block in model.blocks])
