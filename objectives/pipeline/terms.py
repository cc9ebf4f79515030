"""The terms of a pipeline placement, in plain Python: the reference that every kernel is held equal to.

What decides throughput and the rate of decode steps alone is in `rounds.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..combine import TERMS, Objective
from ..spans import Span
from .rounds import Rounds
from .tables import CostTables


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What limits the rate of a full pipeline: a node or a link, and its busy seconds per micro-batch."""

    kind: str
    where: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Terms:
    """All figures of one pipeline placement.

    Attributes
    ----------
    values : mapping of str to float
        One value for each name in `combine.TERMS`, minimised ("throughput" and "decode_rate" in seconds per token).
    in_flight : int
        Sequences in flight: the workload's concurrency or what the smallest stage's memory allows, at least 1.
    micro_batch : int
        Micro-batch size with the best throughput.
    memory_bytes : tuple of float
        Bytes of weights and caches per node, with `in_flight` sequences.
    busy_s : tuple of float
        Busy seconds per node, micro-batch and output token, prompts included, at `micro_batch`.
    bottleneck : Bottleneck
        At `micro_batch`.
    """

    values: Mapping[str, float]
    in_flight: int
    micro_batch: int
    memory_bytes: tuple[float, ...]
    busy_s: tuple[float, ...]
    bottleneck: Bottleneck


def hops(tables: CostTables, spans: Iterable[Span]) -> list[tuple[int, int, int]]:
    """Return the hops of a pipeline as (from, to, cut), the client's included."""
    ordered = list(spans)
    places = [tables.client, *(span.node for span in ordered), tables.client]
    cuts = [0, *(span.stop for span in ordered)]
    # Neighbouring spans of one node need no hop.
    return [(i, j, cut) for i, j, cut in zip(places, places[1:], cuts, strict=False) if i != j]


def transfer_s(tables: CostTables, hop: tuple[int, int, int], n_bytes: float) -> float:
    """Seconds that `n_bytes` keep the link of a hop busy, latency left out; 0 where there is no link."""
    bandwidth = tables.bandwidth_bytes_per_s[hop[0], hop[1]]
    return float(n_bytes / bandwidth) if bandwidth > 0 else 0.0


def node_sums(tables: CostTables, spans: Iterable[Span], per_block: np.ndarray) -> np.ndarray:
    """Sum ``per_block[b]`` or ``per_block[node, b]`` over the blocks of each node; returns an array (N,)."""
    sums = np.zeros(tables.n_nodes)
    for span in spans:
        row = per_block if per_block.ndim == 1 else per_block[span.node]
        sums[span.node] += row[span.start : span.stop].sum()
    return sums


def sequences_in_flight(tables: CostTables, spans: Iterable[Span]) -> int:
    """Sequences whose caches fit on every node: at most the workload's concurrency; below 1 when weights do not fit."""
    spans = list(spans)
    free = tables.capacity_bytes - node_sums(tables, spans, tables.weight_bytes)
    kv = node_sums(tables, spans, tables.kv_bytes)
    used = {span.node for span in spans}
    most = tables.concurrency
    for node in used:
        if free[node] < 0:
            return 0
        if kv[node] > 0:
            # The slack keeps an exact fit a fit when the sums were rounded in another order.
            most = min(most, int(np.floor(free[node] / kv[node] + 1e-9)))
    return most


def step_s(tables: CostTables, spans: Iterable[Span], size: int) -> float:
    """Seconds of one decode step of a micro-batch ``batches[size]`` through all stages and hops."""
    spans, tokens = list(spans), float(tables.batches[size])
    stages = float(node_sums(tables, spans, tables.decode_s[size]).sum())
    return stages + sum(
        float(tables.latency_s[hop[0], hop[1]]) + transfer_s(tables, hop, tokens * tables.cut_bytes[hop[2]])
        for hop in hops(tables, spans)
    )


def ttft_s(tables: CostTables, spans: Iterable[Span]) -> float:
    """Seconds until the first token: a prompt through all stages, whose chunks overlap, and all hops.

    K chunks leave a pipeline after the sum of the stages plus K - 1 times the slowest stage of one chunk, which is the
    share 1/K of the sum and (K - 1)/K of the slowest; `prompt_overlap` is the second share, as far as it is reached.
    """
    spans = list(spans)
    stages = [float(tables.prefill_s[span.node, span.start : span.stop].sum()) for span in spans]
    share = tables.prompt_overlap
    return (
        (1.0 - share) * sum(stages)
        + share * max(stages)
        + sum(
            float(tables.latency_s[hop[0], hop[1]]) + transfer_s(tables, hop, float(tables.prompt_cut_bytes[hop[2]]))
            for hop in hops(tables, spans)
        )
    )


def round_s(tables: CostTables, rates: Rounds, spans: Iterable[Span], size: int, in_flight: float) -> float:
    """Seconds of a round trip per output token, of micro-batches of ``batches[size]`` with so many in flight.

    Parameters
    ----------
    tables : CostTables
    rates : Rounds
        Of a name in `combine.RATES`.
    spans : iterable of Span
        In block order.
    size : int
        Index of the micro-batch size.
    in_flight : float
        Sequences.
    """
    spans = list(spans)
    part = rates.long_share(size, in_flight / float(tables.batches[size]))
    stages = float(node_sums(tables, spans, rates.short_s[size] + part * rates.convoy_s[size]).sum())
    for hop in hops(tables, spans):
        sent = rates.tokens[size] * tables.cut_bytes[hop[2]]
        sent += part * rates.prompts[size] * tables.prompt_cut_bytes[hop[2]]
        stages += float(rates.passes[size] * tables.latency_s[hop[0], hop[1]]) + transfer_s(tables, hop, float(sent))
    return stages + float(rates.fixed_s[size])


def busy_s(tables: CostTables, rates: Rounds, spans: Iterable[Span], size: int) -> np.ndarray:
    """Busy seconds (N,) of the nodes per micro-batch and output token, with parts of blocks that others hold."""
    own = node_sums(tables, spans, rates.short_s[size] + rates.share[size] * rates.convoy_s[size])
    return own if tables.beside_s is None else own + rates.passes[size] * tables.beside_s[size]


def bottleneck(tables: CostTables, rates: Rounds, spans: Iterable[Span], size: int) -> Bottleneck:
    """Return the busiest node or link of a full pipeline with micro-batches of ``batches[size]``."""
    spans = list(spans)
    busy = busy_s(tables, rates, spans, size)
    worst = Bottleneck("node", (int(busy.argmax()),), float(busy.max()))
    links: dict[tuple[int, int], float] = {}
    for hop in hops(tables, spans):
        sent = rates.tokens[size] * tables.cut_bytes[hop[2]]
        sent += rates.share[size] * rates.prompts[size] * tables.prompt_cut_bytes[hop[2]]
        links[hop[:2]] = links.get(hop[:2], 0.0) + transfer_s(tables, hop, float(sent))
    for pair, seconds in links.items():
        if seconds > worst.seconds:
            worst = Bottleneck("link", pair, seconds)
    return worst


def best_size(tables: CostTables, rates: Rounds, spans: Iterable[Span], in_flight: int) -> tuple[float, int]:
    """Return the seconds per token of the best micro-batch size, and its index."""
    spans = list(spans)
    stages = len(hops(tables, spans)) - 1
    best, size = np.inf, 0
    for k, batch in enumerate(tables.batches.tolist()):
        if batch <= in_flight:
            flying = rates.flying(in_flight, batch, stages)
            busiest = bottleneck(tables, rates, spans, k).seconds / batch
            seconds = max(round_s(tables, rates, spans, k, flying) / flying, busiest)
            if seconds < best:
                best, size = seconds, k
    return best, size


def pipeline_terms(tables: CostTables, spans: Iterable[Span]) -> Terms:
    """Compute every term of a pipeline whose spans are given in block order."""
    spans = list(spans)
    in_flight = max(1, sequences_in_flight(tables, spans))
    served, steps = tables.rounds("throughput"), tables.rounds("decode_rate")
    best, size = best_size(tables, served, spans, in_flight)
    step = step_s(tables, spans, 0)
    ttft = ttft_s(tables, spans)
    used = sorted({span.node for span in spans})
    decode = node_sums(tables, spans, tables.decode_s[0])
    values = {
        "latency": step,
        "ttft": ttft,
        "request_time": ttft + (tables.output_tokens - 1) * step,
        "throughput": best,
        "price": float(tables.price_per_hour[used].sum()),
        "energy": float((tables.power_w * decode).sum()),
        "bottleneck": bottleneck(tables, steps, spans, 0).seconds,
        "decode_rate": best_size(tables, steps, spans, in_flight)[0],
    }
    memory = node_sums(tables, spans, tables.weight_bytes) + in_flight * node_sums(tables, spans, tables.kv_bytes)
    return Terms(
        values={name: values[name] for name in TERMS},
        in_flight=in_flight,
        micro_batch=int(tables.batches[size]),
        memory_bytes=tuple(memory.tolist()),
        busy_s=tuple(busy_s(tables, served, spans, size).tolist()),
        bottleneck=bottleneck(tables, served, spans, size),
    )


def cost(objective: Objective, terms: Terms) -> float:
    """Return the minimised cost of an objective: the weighted sum of its terms."""
    return sum(weight * terms.values[name] for name, weight in objective.weights.items())
