"""Seconds of a block on a node from the roofline of the device.

The slower of arithmetic and memory traffic, plus a launch overhead (S. Williams, A. Waterman, D. Patterson, "Roofline",
CACM 52(4), 2009, doi:10.1145/1498765.1498785). Decode reads all weights once per step, so a micro-batch is nearly free
until arithmetic or the caches dominate; tensor parallelism adds two ring all-reduces of the activation per block
(M. Shoeybi et al., "Megatron-LM", arXiv:1909.08053).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..question.cluster import Node
from ..question.model import Block, Model
from ..question.workload import Workload
from .rates import Rates, rates_of
from .runtimes import RuntimeCosts, runtime_costs

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Work:
    """One pass through a block.

    Attributes
    ----------
    tokens : float
        Tokens whose weights are read together.
    attention_flops : float
        Operations of attention scores, all tokens together.
    cache_bytes : float
        Bytes of cache read.
    decode : bool
        A decode step: weights are unpacked row by row.
    """

    tokens: float
    attention_flops: float
    cache_bytes: float
    decode: bool = False


def pass_s(rates: Rates, node: Node, block: Block, work: Work) -> float:
    """Seconds of one pass through a block.

    Parameters
    ----------
    rates : Rates
        Of the node under its runtime.
    node : Node
        Its tensor parallelism and the link for it.
    block : Block
    work : Work
        Tokens, operations and bytes of the pass.

    Returns
    -------
    float
    """
    arithmetic_s = product_flops(rates, block, work) / rates.flops_per_s
    memory_s = read_bytes(node, block, work.tokens) / rates.weights_bytes_per_s
    if rates.attention_joins:
        arithmetic_s += work.attention_flops / rates.flops_per_s
        memory_s += work.cache_bytes / rates.cache_bytes_per_s
    # Unpacking happens once for the rows of a step, however many sequences they are of.
    unpacking_s = block.flops_per_token / rates.decode_flops_per_s if work.decode else 0.0
    busy_s = max(rates.busy_s(arithmetic_s, memory_s), unpacking_s)
    if not rates.attention_joins:
        busy_s += rates.attention_s(work.attention_flops, work.cache_bytes, decode=work.decode)
    if node.tensor_parallel > 1:
        busy_s *= 1.0 + rates.serial_share * (node.tensor_parallel - 1)
    launches_s = rates.overhead_s + (rates.expert_overhead_s if block.experts else 0.0)
    spent_s = max(busy_s, launches_s) if rates.launches_overlap else busy_s + launches_s
    return spent_s + all_reduce_s(rates, node, block, work.tokens)


def read_bytes(node: Node, block: Block, tokens: float) -> float:
    """Bytes of weights that a pass reads: all of them where they are copied to the device that computes."""
    return block.weight_bytes if node.copied else block.read_bytes(tokens)


def product_flops(rates: Rates, block: Block, work: Work) -> float:
    """Operations at the full rate that take as long as the matrix products of a pass.

    Every expert multiplies the rows that are routed to it, so its products have fewer rows than the pass has tokens.
    """
    tokens, flops = work.tokens, work.tokens * block.flops_per_token
    if not flops or not rates.half_rows:
        return flops
    dense = rates.rows(tokens) / tokens
    if block.experts <= 0 or block.expert_bytes <= 0:
        return flops * dense
    touched = block.experts * (1.0 - (1.0 - block.experts_per_token / block.experts) ** tokens)
    active = block.expert_bytes * block.experts_per_token / block.experts
    share = active / (active + block.weight_bytes - block.expert_bytes)
    rows = max(1.0, tokens * block.experts_per_token / touched)
    return float(flops * ((1.0 - share) * dense + share * rates.expert_rows(rows) / rows))


def all_reduce_s(rates: Rates, node: Node, block: Block, tokens: float) -> float:
    """Seconds of the two all-reduces of a block under tensor parallelism; 0 for a single device.

    A ring takes 2 (n - 1) steps. Two trees, each for half of the bytes, take as many as they have levels, up and down
    (P. Sanders, J. Speck and J. L. Traff, Parallel Computing 35(12), 2009, doi:10.1016/j.parco.2009.09.001). Without
    peer-to-peer copies each message goes into main memory and out again. Where one root speaks with all others in turn,
    each pair of devices waits once.
    """
    peers = node.tensor_parallel - 1
    if peers <= 0 or block.lookup or block.last_token_only:
        return 0.0
    moved = 2.0 * peers / node.tensor_parallel * tokens * block.activation_bytes_per_token
    steps = node.tensor_parallel * peers / 2.0 if rates.star else _steps(node)
    copies = 2.0 if node.topology == "host" else 1.0
    link_s = steps * node.all_reduce_latency_s + moved / node.all_reduce_bandwidth_bytes_per_s
    return 2.0 * (rates.all_reduce_s + copies * link_s)


def _steps(node: Node) -> float:
    """Messages that follow each other in one sum of a group."""
    devices = node.tensor_parallel
    return 2.0 * math.ceil(math.log2(devices)) if node.topology == "tree" else 2.0 * (devices - 1)


def decode_s(rates: Rates, node: Node, block: Block, workload: Workload, batch: int) -> float:
    """Seconds of one decode step of `batch` sequences, at the mean context of the workload.

    Parameters
    ----------
    rates : Rates
    node : Node
    block : Block
    workload : Workload
    batch : int
        Sequences in the micro-batch.

    Returns
    -------
    float
    """
    context = block.context_tokens(workload.mean_context_tokens)
    attention = batch * block.attention_flops_per_token * context
    cache = batch * block.kv_bytes(workload.mean_context_tokens)
    sampling_s = batch * rates.sequence_s if block.last_token_only else 0.0
    return pass_s(rates, node, block, Work(batch, attention, cache, decode=True)) + sampling_s


def prefill_s(rates: Rates, node: Node, block: Block, workload: Workload, chunk_tokens: int = 0) -> float:
    """Seconds of one whole prompt; attention is causal, so a token sees half of the prompt on average.

    Parameters
    ----------
    rates : Rates
    node : Node
    block : Block
    workload : Workload
    chunk_tokens : int
        Longest part of a prompt that passes at once; 0: the whole prompt.

    Returns
    -------
    float
    """
    prompt = workload.prompt_tokens
    chunks = 1 if block.last_token_only or not chunk_tokens else -(-prompt // chunk_tokens)
    tokens = 1.0 if block.last_token_only else prompt / chunks
    seen = block.context_tokens(prompt / 2.0)
    attention = tokens * block.attention_flops_per_token * seen
    cache = block.kv_bytes(prompt) / (1.0 if chunks == 1 else 2.0)  # of what a chunk reads, half on average
    return chunks * pass_s(rates, node, block, Work(tokens, attention, cache))


def has_roofline(node: Node, model: Model) -> bool:
    """True when the node states what an analytic estimate needs."""
    return node.memory_bandwidth_bytes_per_s > 0 and node.peak_flops_per_s(model.compute_dtype) > 0


def decode_table(
    node: Node, model: Model, workload: Workload, batches: Sequence[int], costs: RuntimeCosts | None = None
) -> FloatArray:
    """Decode seconds: measured where given, else the roofline.

    A measurement at one micro-batch size is carried to other sizes by the ratio that the roofline gives, or, without
    one, in proportion to the size (no gain from batching is assumed).

    Parameters
    ----------
    node : Node
    model : Model
    workload : Workload
    batches : sequence of int
        Micro-batch sizes.
    costs : RuntimeCosts, optional
        Of the runtime; by default the generic ones.

    Returns
    -------
    array (B, L)
        Seconds by micro-batch size and block.

    Raises
    ------
    InputError
        The node states neither a device nor figures nor measurements.
    """
    analytic = has_roofline(node, model)
    measured = {size: spread(row, model) for size, row in node.decode_table.items()}
    if node.decode_s_per_block and node.decode_batch not in measured:
        measured[node.decode_batch] = spread(node.decode_s_per_block, model)
    if not measured and not analytic:
        raise InputError(
            "expected a device, or compute and memory_bandwidth, or decode_seconds_per_block", f"nodes[{node.name}]"
        )

    kinds, kind_of = kinds_of(model) if analytic else ([], np.empty(0, dtype=np.int64))
    rates = rates_of(node, model, costs or runtime_costs(""))

    def roofline(batch: int) -> FloatArray:
        return np.array([decode_s(rates, node, block, workload, batch) for block in kinds])[kind_of]

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


def prefill_row(
    node: Node, model: Model, workload: Workload, decode_row: FloatArray, costs: RuntimeCosts | None = None
) -> FloatArray:
    """Prefill seconds: measured, else the roofline, else one decode step per prompt token.

    Parameters
    ----------
    node : Node
    model : Model
    workload : Workload
    decode_row : array (L,)
        Seconds of a decode step of one sequence.
    costs : RuntimeCosts, optional
        Of the runtime; by default the generic ones.

    Returns
    -------
    array (L,)
        Seconds of a whole prompt by block.
    """
    if node.prefill_s_per_block:
        return spread(node.prefill_s_per_block, model)
    if has_roofline(node, model):
        costs = costs or runtime_costs("")
        rates, chunk = rates_of(node, model, costs), costs.hops.chunk_tokens
        kinds, kind_of = kinds_of(model)
        return np.array([prefill_s(rates, node, block, workload, chunk) for block in kinds])[kind_of]
    tokens = [1 if block.last_token_only else workload.prompt_tokens for block in model.blocks]
    return decode_row * np.array(tokens, dtype=np.float64)


def spread(values: Sequence[float], model: Model) -> FloatArray:
    """One value for all blocks, or one per block, as an array (L,)."""
    if len(values) not in (1, model.n_blocks):
        raise InputError(f"expected one number or {model.n_blocks}, one per block, got {len(values)}")
    return np.full(model.n_blocks, values[0]) if len(values) == 1 else np.array(values, dtype=np.float64)


# Parts say how a block can be divided; what it costs in one piece stands in its other figures.
_FIGURES = attrgetter(*(name for name in Block.__slots__ if name not in ("name", "parts")))


def kinds_of(model: Model) -> tuple[list[Block], npt.NDArray[np.int64]]:
    """Blocks that differ in what they cost, each once, and the kind of every block (L,).

    A kind is computed once, and told once for a model: tables of a thousand nodes stay quick to build.
    """
    return _kinds_of(_Same(model))


class _Same:
    """A model that equals itself only: looking at all of its blocks takes longer than what is remembered of it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __hash__(self) -> int:
        return id(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.model is self.model


@lru_cache(maxsize=32)
def _kinds_of(same: _Same) -> tuple[list[Block], npt.NDArray[np.int64]]:
    model = same.model
    numbers: dict[object, int] = {}
    kinds: list[Block] = []
    of_block = []
    for block in model.blocks:
        figures = _FIGURES(block)
        if figures not in numbers:
            numbers[figures] = len(kinds)
            kinds.append(block)
        of_block.append(numbers[figures])
    return kinds, np.array(of_block)
