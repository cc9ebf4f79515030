"""Seconds of a pass through a span for any mixture of prompt chunks and decode steps: what a simulation asks for.

`CostTables` know one prompt length and one mean context. A server meets all of them, often in one pass, so the figures
of the same roofline are kept here in pieces: matrix products, which depend on the tokens of the pass alone, as a table;
attention, kernels of its own that follow them, by the context that the tokens see. Of a kind of blocks, with A tokens x
context and K tokens of cache read::

    seconds = products_s[tokens] + max(attention_s * A, cache_s * K)
    products_s = (arithmetic ** p + weights ** p) ** (1 / p) + overhead + all-reduces

An infinite p is the roofline: arithmetic and the reading of weights hide each other. On real devices they do so in
part (`OVERLAP`), which shows where both take about as long; runtimes whose rates say that nothing overlaps have p = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..question.cluster import Node
from ..question.model import Block, Model
from ..question.workload import Workload
from .rates import Rates, rates_of
from .roofline import Work, all_reduce_s, decode_table, has_roofline, kinds_of, prefill_row, product_flops
from .runtimes import RuntimeCosts, runtime_costs

FloatArray = npt.NDArray[np.float64]
EXACT_TOKENS = 64
GROWTH = 1.08
MOST_TOKENS = 1 << 20
OVERLAP = 2.0  # p above: chosen on load stages of vLLM between 1 (a sum), 2, 4 and infinity (a roofline)


@cache
def token_grid() -> FloatArray:
    """Tokens at which seconds are tabulated: all up to 64, then steps of 8%; not to be written to."""
    grid = [float(tokens) for tokens in range(EXACT_TOKENS + 1)]
    while grid[-1] < MOST_TOKENS:
        grid.append(float(int(grid[-1] * GROWTH) + 1))
    found = np.array(grid)
    found.setflags(write=False)
    return found


@dataclass(frozen=True, slots=True)
class BlockCosts:
    """What a pass costs in one kind of blocks on a node; G tokens are tabulated.

    Attributes
    ----------
    count : int
        Blocks of this kind in the span.
    rows : bool
        Only the last token of each sequence passes (an LM head).
    window : int or None
        Tokens of context that are seen.
    products_s : array (G,)
        Seconds by tokens of the pass, attention left out; index 0 is 0.
    attention_s : float
        Seconds per token and token of context that it sees.
    cache_s, kept_s : float
        Seconds per token of cache read, within the window, and beside any window.
    state_s : float
        Seconds per sequence for cache that does not grow.
    """

    count: int
    rows: bool
    window: int | None
    products_s: FloatArray
    attention_s: float
    cache_s: float
    kept_s: float
    state_s: float


def span_costs(
    node: Node, model: Model, workload: Workload, start: int, stop: int, costs: RuntimeCosts | None = None
) -> tuple[BlockCosts, ...]:
    """The costs of passes through the blocks ``start <= b < stop`` on a node.

    Parameters
    ----------
    node : Node
    model : Model
    workload : Workload
        What measured prefill seconds are for.
    start, stop : int
    costs : RuntimeCosts, optional
        By default the generic ones.

    Returns
    -------
    tuple of BlockCosts
        One for each kind of blocks; blocks that differ in their name only are of one kind.

    Raises
    ------
    InputError
        The node states neither a device nor figures nor measurements.
    """
    return joined(block_costs(node, model, workload, start, stop, costs))


def joined(blocks: Sequence[BlockCosts]) -> tuple[BlockCosts, ...]:
    """Blocks that are alike as one kind, with their number."""
    found: dict[tuple[object, ...], BlockCosts] = {}
    for block in blocks:
        scalars = (block.rows, block.window, block.attention_s, block.cache_s, block.kept_s, block.state_s)
        key = (*scalars, block.products_s.tobytes())
        found[key] = replace(found[key], count=found[key].count + block.count) if key in found else block
    return tuple(found.values())


def block_costs(
    node: Node, model: Model, workload: Workload, start: int, stop: int, costs: RuntimeCosts | None = None
) -> tuple[BlockCosts, ...]:
    """The costs of passes through each of the blocks of a span; parameters as for `span_costs`.

    Blocks that are alike have one and the same costs.
    """
    grid, costs = token_grid(), costs or runtime_costs("")
    found: dict[tuple[object, ...], BlockCosts] = {}
    blocks = []
    _, kind_of = kinds_of(model)
    analytic, measured = has_roofline(node, model), bool(node.decode_s_per_block or node.decode_table)
    decode = decode_table(node, model, workload, _sizes(node), costs) if measured or not analytic else None
    prefill = prefill_row(node, model, workload, decode[0], costs) if decode is not None else None
    for number in range(start, stop):
        block = model.blocks[number]
        key: tuple[object, ...] = (int(kind_of[number]),)
        if decode is not None and prefill is not None:
            key = (*key, *decode[:, number].tolist(), float(prefill[number]))
        if key not in found:
            if decode is None or prefill is None:
                found[key] = _analytic(node, block, rates_of(node, model, costs), grid)
            else:
                sizes = np.array(_sizes(node))
                found[key] = _measured(block, workload, sizes, decode[:, number], prefill[number], grid)
        blocks.append(found[key])
    return tuple(blocks)


def _analytic(node: Node, block: Block, rates: Rates, grid: FloatArray) -> BlockCosts:
    """The roofline in pieces."""
    serial = 1.0 + rates.serial_share * (node.tensor_parallel - 1)
    launches_s = rates.overhead_s + (rates.expert_overhead_s if block.experts else 0.0)
    unpacking_s = block.flops_per_token / rates.decode_flops_per_s
    power = min(OVERLAP, rates.power)
    arithmetic = (_product_flops(rates, block, grid) if rates.half_rows else grid * block.flops_per_token) / (
        rates.flops_per_s
    )
    weights = (np.full(len(grid), block.weight_bytes) if node.copied else _read_bytes(block)) / (
        rates.weights_bytes_per_s
    )
    busy_s = serial * np.maximum((arithmetic**power + weights**power) ** (1.0 / power), unpacking_s)
    products = np.maximum(busy_s, launches_s) if rates.launches_overlap else busy_s + launches_s
    if node.tensor_parallel > 1:
        products = products + [all_reduce_s(rates, node, block, tokens) for tokens in grid.tolist()]
    if block.last_token_only:
        products = products + grid * rates.sequence_s
    products[0] = 0.0
    attention_rate = rates.attention_flops_per_s or rates.flops_per_s
    per_byte = serial / rates.cache_bytes_per_s
    per_token = block.kv_bytes_per_token * per_byte
    if rates.step_attention_flops_per_s:  # a step sees each token of its cache once
        scores = block.attention_flops_per_token
        per_token = serial * rates.attention_s(scores, block.kv_bytes_per_token, decode=True)
    return BlockCosts(
        1,
        block.last_token_only,
        block.kv_window_tokens,
        products,
        serial * block.attention_flops_per_token / attention_rate,
        per_token,
        block.kept_bytes_per_token * per_byte,
        block.state_bytes * per_byte,
    )


def _product_flops(rates: Rates, block: Block, grid: FloatArray) -> FloatArray:
    """Operations (G,) at the full rate; of no token none."""
    return np.array([0.0, *(product_flops(rates, block, Work(tokens, 0.0, 0.0)) for tokens in grid.tolist()[1:])])


@lru_cache(maxsize=256)
def _read_bytes(block: Block) -> FloatArray:
    """Bytes of weights (G,) that passes of so many tokens read; not to be written to."""
    found = np.array([block.read_bytes(tokens) for tokens in token_grid().tolist()])
    found.setflags(write=False)
    return found


def _sizes(node: Node) -> list[int]:
    """Micro-batch sizes that were measured, and 1."""
    return sorted({1, node.decode_batch, *node.decode_table})


def _measured(
    block: Block,
    workload: Workload,
    sizes: npt.NDArray[np.int64],
    decode: FloatArray,
    prefill_s: float,
    grid: FloatArray,
) -> BlockCosts:
    """Measured seconds: passes up to the largest micro-batch as measured, longer ones in proportion to a prompt.

    What was measured has its attention inside; nothing is known of how it grows with the context.
    """
    tokens = 1.0 if block.last_token_only else float(workload.prompt_tokens)
    largest, slope = float(sizes[-1]), prefill_s / tokens
    small = np.interp(grid, sizes.astype(float), decode)
    seconds = np.where(grid <= largest, small, np.maximum(decode[-1], slope * grid))
    seconds[0] = 0.0
    return BlockCosts(1, block.last_token_only, None, seconds, 0.0, 0.0, 0.0, 0.0)


def pass_seconds(
    costs: Sequence[BlockCosts],
    tokens: int,
    sequences: int,
    context_pairs: float,
    context_tokens: float,
) -> float:
    """Seconds of one pass, in plain Python: the reference of the compiled twin. For models without windows.

    Parameters
    ----------
    costs : sequence of BlockCosts
        Of a span.
    tokens : int
        Tokens in the pass, chunks of prompts and decode steps together.
    sequences : int
        Sequences whose last token is sampled.
    context_pairs : float
        Sum over tokens of the context that each sees.
    context_tokens : float
        Sum over sequences of the tokens of cache that are read.

    Raises
    ------
    InputError
        A kind of blocks has a window.
    """
    grid, total = token_grid(), 0.0
    for kind in costs:
        if kind.window is not None:
            raise InputError("expected blocks without windows")
        passing = sequences if kind.rows else tokens
        if passing == 0:
            continue
        products = float(np.interp(passing, grid, kind.products_s))
        cache = (kind.cache_s + kind.kept_s) * context_tokens + kind.state_s * sequences
        total += kind.count * (products + max(kind.attention_s * context_pairs, cache))
    return total
